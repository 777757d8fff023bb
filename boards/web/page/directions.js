// The directions in which pictures change most.
//
// J is how the values of a picture answer to each number of its latent vector, here the difference of pictures one step to
// either side. The leading eigenvectors of the mean of J^T J over some pictures are the directions to look along. GANSpace
// (Haerkoenen et al. 2020, arXiv:2004.02546) and SeFa (Shen and Zhou 2021, arXiv:2007.06600) find such directions in the
// activations or the weights of one layer; this needs the pictures alone, and so works for any file.

/** Unit vectors, the one along which pictures change most first. */
export async function principalDirections(generator, { count, signal, onProgress }) {
  const { latentLength: length, macs } = generator.info;
  if (2 * length * macs > 4 * BUDGET_MACS) throw new Error("This model is too slow to look for directions.");
  const points = Math.max(1, Math.min(POINTS, Math.floor(BUDGET_MACS / (2 * length * macs))));
  // The same bytes everywhere, and so the same directions, as long as that is quick.
  const exact = 2 * length * points * macs <= EXACT_MACS;
  // Short enough that the page stays live.
  const steps = Math.max(1, Math.min(STEPS, Math.floor(REQUEST_MACS / macs)));
  const gram = new Float64Array(length * length);
  for (let point = 0; point < points; point++) {
    const centre = await generator.latents([point]);
    const columns = [];
    for (let first = 0; first < length; first += steps) {
      signal.throwIfAborted();
      columns.push(...(await answers(generator, centre, first, Math.min(steps, length - first), exact)));
      onProgress?.((point + columns.length / length) / points);
    }
    accumulate(gram, columns);
  }
  return leading(gram, length, Math.min(count, length));
}

/** How pictures differ on either side of some numbers of a latent vector. */
async function answers(generator, centre, first, count, exact) {
  const { latentLength: length, width, height } = generator.info;
  const latents = new Float32Array(2 * count * length);
  for (let i = 0; i < 2 * count; i++) {
    latents.set(centre, i * length);
    latents[i * length + first + (i >> 1)] += i % 2 === 0 ? 1 : -1;
  }
  const { data } = await generator.generate({ latents, columns: 1, exact });
  const bytes = 4 * width * height;
  const stride = Math.ceil(Math.sqrt((width * height) / SAMPLED));
  const picked = [];
  for (let y = 0; y < height; y += stride) {
    for (let x = 0; x < width; x += stride) picked.push(4 * (y * width + x));
  }
  return Array.from({ length: count }, (_, k) => {
    const [up, down] = [2 * k * bytes, (2 * k + 1) * bytes];
    return Float64Array.from({ length: 3 * picked.length }, (_, i) => {
      const at = picked[Math.floor(i / 3)] + (i % 3);
      return data[up + at] - data[down + at];
    });
  });
}

/** Adds J^T J. */
function accumulate(gram, columns) {
  const n = columns.length;
  for (let i = 0; i < n; i++) {
    for (let j = i; j < n; j++) {
      let sum = 0;
      for (let k = 0; k < columns[i].length; k++) sum += columns[i][k] * columns[j][k];
      gram[i * n + j] += sum;
      if (i !== j) gram[j * n + i] += sum;
    }
  }
}

/** The leading eigenvectors of a symmetric matrix, by orthogonal iteration (Golub and Van Loan, section 8.2.4). */
export function leading(matrix, n, count) {
  let vectors = Array.from({ length: count }, (_, k) => Float64Array.from({ length: n }, (_, i) => (i % count === k ? 1 : 0.1)));
  vectors = orthonormal(vectors);
  for (let round = 0; round < ROUNDS; round++) vectors = orthonormal(vectors.map((vector) => times(matrix, vector)));
  return vectors.map((vector) => {
    // Of the two directions of an axis, that in which its largest number grows.
    const largest = vector.reduce((most, value) => (Math.abs(value) > Math.abs(most) ? value : most), 0);
    return Float32Array.from(vector, (value) => (largest < 0 ? -value : value));
  });
}

function times(matrix, vector) {
  const n = vector.length;
  return vector.map((_, i) => {
    let sum = 0;
    for (let j = 0; j < n; j++) sum += matrix[i * n + j] * vector[j];
    return sum;
  });
}

/** Gram and Schmidt; twice, since once loses digits where vectors are nearly the same. */
function orthonormal(vectors) {
  const done = [];
  for (let vector of vectors) {
    for (const before of [...done, ...done]) {
      const part = dot(vector, before);
      vector = vector.map((value, i) => value - part * before[i]);
    }
    const length = Math.sqrt(dot(vector, vector));
    done.push(length > 0 ? vector.map((value) => value / length) : vector);
  }
  return done;
}

function dot(a, b) {
  return a.reduce((sum, value, i) => sum + value * b[i], 0);
}

/** Pictures whose answers are averaged, at most. */
const POINTS = 8;

/** Multiply-accumulates that may go into them, and in exact arithmetic: a second or two. */
const BUDGET_MACS = 2e10;
const EXACT_MACS = 2e9;

/** Numbers of a latent vector in one request, and multiply-accumulates for each picture of a pair. */
const STEPS = 16;
const REQUEST_MACS = 5e8;

/** Pixels of a picture that are looked at, about. */
const SAMPLED = 1024;

/** Of the iteration. */
const ROUNDS = 60;
