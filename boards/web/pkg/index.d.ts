/** What a file, a delta or an option is refused for. */
export class Refused extends Error {}

/** The worker has ended before it answered; the next request starts another. */
export class WorkerLost extends Error {}

/** An address, or what holds the bytes of a file. */
export type Source = string | URL | Response | Blob | ArrayBuffer | ArrayBufferView;

/** What may move: the last layers, a factor and a bias for each channel, the first layer, or everything. */
export type Preset = "tail" | "affine" | "head" | "all";

/** What there is to know of a model. */
export interface Info {
  /** Of a picture, in pixels. */
  height: number;
  width: number;
  channels: number;
  /** Values of a latent vector. */
  latentLength: number;
  /** Labels that a picture is drawn from; 0 for most models. */
  labelCount: number;
  flashBytes: number;
  /** Memory that one picture takes. */
  arenaBytes: number;
  /** Multiply-accumulates of a picture. */
  macs: number;
  /** Memory in which a microcontroller learns; 0 where the model cannot learn. */
  learningBytes: number;
  /** What the file says of itself, e.g. `name`. */
  metadata: Record<string, string>;
}

export interface LoadOptions {
  /** Take the larger module at once, which expands weights and learns; slow models take it anyway. */
  full?: boolean;
  /** Folder of the `.wasm` files; that of the package by default. */
  base?: string;
  /** Milliseconds that an answer may take before the worker is ended, learning apart; no limit by default. */
  deadline?: number;
  /** Called when the worker has ended by itself; the next call starts another, with the same model and delta. */
  onLost?: (reason: WorkerLost) => void;
}

export interface Request {
  /** Of one picture; 0 by default. */
  seed?: number | bigint;
  /** Of several pictures. */
  seeds?: (number | bigint)[];
  /** Latent vectors in place of seeds, one after the other: standard normal numbers. */
  latents?: Float32Array;
  /** Class of all pictures, or of each; 0 by default. */
  label?: number;
  labels?: number[];
  /** Pictures in a row; about as many as there are rows by default. */
  columns?: number;
  /** The same bytes on every machine, in several times the time. */
  exact?: boolean;
  /** With what a run of `learn` that goes on has learned so far. */
  learned?: boolean;
}

/** Losses of a step: least squares. */
export interface Losses {
  steps: number;
  discriminator: number;
  generator: number;
  /** Mean score of real pictures. */
  real: number;
  /** Mean score of generated pictures. */
  fake: number;
}

export interface LearnOptions {
  /** 200 by default. */
  steps?: number;
  /** `tail` by default. */
  preset?: Preset;
  /** Pairs of pictures in a step; 8 by default. */
  batch?: number;
  /** Factor of the file's learning rates; 1 by default. */
  rate?: number;
  /** Of every random draw; 0 by default. */
  seed?: number;
  /** Ends learning early; what was learned until then is kept. */
  signal?: AbortSignal;
  onProgress?: (progress: { steps: number; losses: Losses[]; memoryBytes: number }) => void;
}

/** A model in a worker. */
export class Generator {
  private constructor();
  static load(source: Source, options?: LoadOptions): Promise<Generator>;
  readonly info: Info;
  /** What drawing took last time. */
  readonly stats: { pictures: number; milliseconds: number };
  generate(request?: Request): Promise<ImageData>;
  latents(seeds: (number | bigint)[]): Promise<Float32Array>;
  /** Whether exact arithmetic draws what the file says, and the checksum of what it drew. */
  check(): Promise<{ holds: boolean; crc32: number }>;
  /** Fetches the module that learns before it is needed. */
  prepareToLearn(): Promise<void>;
  /** Learns from pictures of the model's size, on from the delta in use, and draws with what was learned from then on. */
  learn(images: ImageData[], options?: LearnOptions): Promise<{ steps: number; delta?: Uint8Array }>;
  /** What was learned, if the model draws with it. */
  readonly delta: Uint8Array | undefined;
  /** Draws from now on with a delta; with none, as the file has it. */
  setDelta(delta?: Source): Promise<void>;
  /** Ends the worker. */
  close(): void;
}

/** A picture of the model's size: the largest middle part of a source with the model's proportions. */
export function fit(
  source: ImageBitmap | HTMLImageElement | HTMLCanvasElement | HTMLVideoElement | OffscreenCanvas,
  info: Pick<Info, "width" | "height">,
): ImageData;
