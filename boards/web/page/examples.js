// Pictures to learn from: drawn, from files, from the camera, or the model's own turned around.

import { fit } from "./pocketgan/index.js";
import { paint } from "./sheet.js";
import { $, busy, fail } from "./status.js";

/** Most examples: a page is no place for a data set. */
const MOST = 256;

export class Examples {
  /** `ImageData` of the model's size. */
  images = [];
  #info;
  #stream;
  #onChange;

  constructor(onChange) {
    this.#onChange = onChange;
    this.#connectPad();
    $("pad-add").onclick = () => this.#addPad();
    $("pad-clear").onclick = () => this.#clearPad();
    $("camera").onclick = () => (this.#stream ? this.#closeCamera() : this.#openCamera().catch(fail));
    $("images-open").onclick = () => $("images").click();
    $("images").onchange = async () => {
      const files = [...$("images").files];
      $("images").value = "";
      await this.addFiles(files);
    };
  }

  /** Starts anew for a model. */
  use(info) {
    this.#info = info;
    this.images = [];
    $("ink-row").hidden = info.channels !== 3;
    this.#clearPad();
    this.#list();
  }

  /** Adds pictures of any size. */
  add(sources) {
    const room = MOST - this.images.length;
    if (sources.length > room) fail(`There is room for ${MOST} examples.`);
    this.images.push(...sources.slice(0, room).map((source) => (source instanceof ImageData ? source : fit(source, this.#info))));
    this.#list();
  }

  /** Adds what image files hold; says of which it cannot be read. */
  async addFiles(files) {
    const bad = [];
    await busy("Reading images", async (onProgress) => {
      for (const [i, file] of files.entries()) {
        onProgress(i / files.length);
        try {
          const bitmap = await createImageBitmap(file);
          this.add([bitmap]);
          bitmap.close();
        } catch {
          bad.push(file.name);
        }
      }
    });
    if (bad.length > 0) fail(`No picture that this browser can read: ${bad.join(", ")}`);
  }

  #list() {
    $("example-count").textContent = this.images.length;
    $("examples").replaceChildren(
      ...this.images.map((image, i) => {
        const [item, button, canvas] = ["li", "button", "canvas"].map((name) => document.createElement(name));
        button.type = "button";
        button.ariaLabel = button.title = `Remove example ${i + 1}`;
        button.onclick = () => {
          this.images.splice(i, 1);
          this.#list();
          ($("examples").querySelectorAll("button")[Math.min(i, this.images.length - 1)] ?? $("pad-add")).focus();
        };
        paint(canvas, image);
        button.append(canvas);
        item.append(button);
        return item;
      }),
    );
    this.#onChange();
  }

  // The pad: white ink on black, as handwritten digits are.

  #connectPad() {
    const pad = $("pad");
    const context = pad.getContext("2d");
    Object.assign(context, { lineCap: "round", lineJoin: "round", lineWidth: 18 });
    let last;
    const place = ({ clientX, clientY }) => {
      const box = pad.getBoundingClientRect();
      return [((clientX - box.left) * pad.width) / box.width, ((clientY - box.top) * pad.height) / box.height];
    };
    const line = (event) => {
      if (!last) return;
      context.strokeStyle = this.#info?.channels === 3 ? $("ink").value : "#ffffff";
      const next = place(event);
      context.beginPath();
      context.moveTo(...last);
      context.lineTo(...next);
      context.stroke();
      last = next;
    };
    pad.addEventListener("pointerdown", (event) => {
      pad.setPointerCapture(event.pointerId);
      last = place(event);
      line(event);
    });
    pad.addEventListener("pointermove", line);
    for (const end of ["pointerup", "pointercancel"]) pad.addEventListener(end, () => (last = undefined));
    this.#clearPad();
  }

  #clearPad() {
    const context = $("pad").getContext("2d");
    context.fillStyle = "#000000";
    context.fillRect(0, 0, $("pad").width, $("pad").height);
  }

  #addPad() {
    if (this.#stream) {
      this.add([$("camera-view")]);
      return;
    }
    const { data } = $("pad").getContext("2d").getImageData(0, 0, $("pad").width, $("pad").height);
    if (data.every((value, i) => i % 4 === 3 || value === 0)) fail("Nothing is drawn yet.");
    else this.add([$("pad")]);
    this.#clearPad();
  }

  // The camera takes the place of the pad.

  async #openCamera() {
    if (!navigator.mediaDevices) throw new Error("This page may use no camera here: it takes https.");
    this.#stream = await navigator.mediaDevices.getUserMedia({ video: { width: 320, height: 320 } }).catch((error) => {
      throw new Error(`No camera: ${error.message}`);
    });
    $("camera-view").srcObject = this.#stream;
    await $("camera-view").play();
    this.#showCamera(true);
  }

  #closeCamera() {
    this.#stream.getTracks().forEach((track) => track.stop());
    this.#stream = undefined;
    $("camera-view").srcObject = null;
    this.#showCamera(false);
  }

  #showCamera(on) {
    $("camera-view").hidden = !on;
    $("pad").hidden = on;
    $("camera").setAttribute("aria-pressed", on);
    $("pad-add").textContent = on ? "Take a picture" : "Add the drawing";
    $("pad-clear").disabled = on;
  }
}
