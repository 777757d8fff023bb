// What is shown, in the address after `#`: whoever opens it sees the same pictures.

/** What the page shows when its address says nothing. */
export const DEFAULTS = {
  /** Name of the model. */
  model: undefined,
  /** Of the first picture. */
  seed: 0,
  /** Seed of the picture around which the others lie, if any. */
  around: undefined,
  /** How far they lie from it: 1 is as far as any other picture. */
  spread: 0.4,
  /** Steps along the principal directions. */
  directions: [0, 0, 0, 0, 0, 0],
  /** Class of the pictures. */
  label: 0,
  /** Place on the walk. */
  at: 0,
  /** Whether pictures are computed in exact arithmetic. */
  exact: false,
};

/** Largest seed of the page. */
export const MAX_SEED = 2 ** 32 - 1;

/** Ends of the sliders. */
export const LIMITS = { spread: [0.05, 1], direction: [-3, 3], at: [0, 8], label: [0, 65535] };

/** The state that an address speaks of; what it gets wrong is as if it did not say it. */
export function parse(hash) {
  const said = new URLSearchParams(hash.replace(/^#/, ""));
  const state = structuredClone(DEFAULTS);
  state.model = said.get("model") ?? undefined;
  state.seed = whole(said.get("seed"), MAX_SEED) ?? 0;
  state.around = whole(said.get("around"), MAX_SEED);
  state.spread = number(said.get("spread"), LIMITS.spread) ?? DEFAULTS.spread;
  const directions = (said.get("directions") ?? "").split(",");
  state.directions = state.directions.map((_, i) => number(directions[i], LIMITS.direction) ?? 0);
  state.label = whole(said.get("class"), LIMITS.label[1]) ?? 0;
  state.at = number(said.get("at"), LIMITS.at) ?? 0;
  state.exact = said.has("exact");
  return state;
}

/** The address of a state, without what is as always. */
export function format(state) {
  const said = new URLSearchParams();
  if (state.model) said.set("model", state.model);
  said.set("seed", state.seed);
  if (state.around !== undefined) {
    said.set("around", state.around);
    said.set("spread", state.spread);
  }
  if (state.directions.some((value) => value !== 0)) said.set("directions", state.directions.join(","));
  if (state.label) said.set("class", state.label);
  if (state.at) said.set("at", state.at);
  if (state.exact) said.set("exact", "1");
  return `#${said}`;
}

/** A whole number within 0..=most. */
export function whole(text, most) {
  return /^\d{1,15}$/.test(text ?? "") && Number(text) <= most ? Number(text) : undefined;
}

function number(text, [least, most]) {
  if (text === undefined || text === null || text.trim() === "") return undefined;
  const value = Number(text);
  return value >= least && value <= most ? value : undefined;
}
