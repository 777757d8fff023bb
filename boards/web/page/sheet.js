// The sheet of pictures: a canvas, and over it a button for each picture.

import { $ } from "./status.js";

/** Shows pictures; calls `onPick` with the number of one that was chosen. */
export class Sheet {
  #canvas = $("sheet");
  #cells = $("cells");
  #count = 0;
  #onPick;

  constructor(onPick) {
    this.#onPick = onPick;
    this.#cells.addEventListener("click", ({ target }) => {
      if (target.dataset.index) this.#onPick(Number(target.dataset.index));
    });
    this.#cells.addEventListener("keydown", (event) => this.#move(event));
  }

  /** Puts a sheet of `count` pictures, each with a name, in place of the one before. */
  show(image, count, columns, nameOf) {
    paint(this.#canvas, image);
    this.#canvas.setAttribute("aria-label", `${count} pictures`);
    if (count !== this.#count) this.#fill(count, columns);
    [...this.#cells.children].forEach((cell, i) => {
      const name = nameOf(i);
      if (cell.ariaLabel !== name) cell.ariaLabel = name;
    });
  }

  /** The sheet as a file. */
  png() {
    return new Promise((resolve) => this.#canvas.toBlob(resolve, "image/png"));
  }

  #fill(count, columns) {
    this.#count = count;
    this.#cells.style.setProperty("--columns", columns);
    this.#cells.replaceChildren(
      ...Array.from({ length: count }, (_, i) => {
        const cell = document.createElement("button");
        Object.assign(cell, { type: "button", tabIndex: i === 0 ? 0 : -1 });
        cell.dataset.index = i;
        return cell;
      }),
    );
  }

  /** Arrow keys move from picture to picture; one of them is in the order of focus. */
  #move(event) {
    const cells = [...this.#cells.children];
    const at = cells.indexOf(document.activeElement);
    const columns = Number(this.#cells.style.getPropertyValue("--columns"));
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns, Home: -at, End: cells.length - 1 - at };
    const next = cells[at + steps[event.key]];
    if (!next) return;
    event.preventDefault();
    cells[at].tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  }
}

/** Shows an image on a canvas of its size; small ones with their pixels. */
export function paint(canvas, image) {
  if (canvas.width !== image.width || canvas.height !== image.height) {
    Object.assign(canvas, { width: image.width, height: image.height });
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
  canvas.classList.toggle("pixels", image.width <= 1024);
}
