// The page holds the photo, the references and all codes; the server only answers.

const $ = (id) => document.getElementById(id);
const OWN = "";  // the source of an attribute that stays as it is

const model = { attributes: [], styles: {}, size: 0, max_upload: Infinity };
const references = new Map();  // source ("r1") → {name, blob, units}
const attributes = new Map();  // name → its controls
const choices = new Map();  // face's number → attribute → {source, strength}
let photo = null;  // {name, blob, width, height, faces, bitmap, base, changes}
let face = null;  // the face of the photo that the controls are of

// ── Words ──

class Refusal extends Error {}  // its text is for the person

const words = (name) => name.replace(/^@/, "").replace(/[_-]+/g, " ");
const title = (name) => words(name).replace(/^./, (letter) => letter.toUpperCase());
const megabytes = (bytes) => (bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0);
const nameOf = (source) => references.get(source)?.name ?? words(source);

function say(id, text) {
  // Emptied first, so that the same words are announced again.
  $(id).textContent = "";
  $(id).textContent = text;
}

/** Runs what a person asked for; what they cannot see otherwise goes to the alert beside it. */
async function attempt(id, work) {
  say(id, "");
  await trying(id, work);
}

/** The same, beside what another attempt said. */
async function trying(id, work) {
  try {
    await work();
  } catch (error) {
    if (error.name === "AbortError") return;
    say(id, error instanceof Refusal ? error.message : `Something went wrong on this page: ${error.message}`);
    if (!(error instanceof Refusal)) console.error(error);
  }
}

const busyWith = {};

async function busy(id, text, work) {
  const mine = (busyWith[id] = {});
  $(id).textContent = text;
  $(id).hidden = false;
  say("status", text);
  try {
    return await work();
  } finally {
    if (busyWith[id] === mine) {  // nothing newer
      $(id).hidden = true;
      say("status", "");
    }
  }
}

// ── The server ──

async function ask(path, options) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal("The server does not answer: is traitswap serve still running? All you chose is kept; try again.");
  }
  if (answer.ok) return answer;
  const problem = await answer.json().catch(() => ({}));
  throw new Refusal(problem.error ?? `The server answered ${answer.status}: try again.`);
}

async function encode(file, signal) {
  if (file.size > model.max_upload - 1000) {  // a form has more than the file
    throw new Refusal(
      `${file.name} has ${megabytes(file.size)} MB; at most ${megabytes(model.max_upload)} MB can be sent: make it smaller`,
    );
  }
  let blob;
  try {
    // A copy, so that the photo is still what is shown when it is saved, whatever becomes of its file.
    blob = new Blob([await file.arrayBuffer()], { type: file.type });
  } catch {
    throw new Refusal(`${file.name} cannot be read: give one image file, no folder`);
  }
  const form = new FormData();
  form.append("photo", blob, file.name);
  const seen = await (await ask("v1/encode", { method: "POST", body: form, signal })).json();
  const { data, type } = seen.preview;
  const preview = new Blob([Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0))], { type });
  return { ...seen, name: file.name, blob, bitmap: await createImageBitmap(preview) };
}

// So many are a level of an offset, and 1 of a slope; the server says so of /v1/decode.
const OFFSET = 1 / 32, SLOPE = 1 / 4096;

/** How a face's levels change: S × S × 6, offsets of red, green and blue, then slopes; null where nothing is taken. */
async function changeOf(codes, choice) {
  const take = {}, strength = {};
  for (const [name, { source, strength: amount }] of Object.entries(choice)) {
    if (source === OWN) continue;
    take[name] = references.get(source)?.units[name] ?? source;
    strength[name] = amount;
  }
  if (!Object.keys(take).length) return null;
  const body = JSON.stringify({ codes, take, strength });
  const answer = await ask("v1/decode", { method: "POST", body, headers: { "content-type": "application/json" } });
  return new Int16Array(await answer.arrayBuffer());  // little-endian, as every machine with a browser is
}

// ── Pictures ──

/** The upright square of a face, drawn to fill a small canvas. */
function drawFace(canvas, { bitmap, width }, { square }) {
  const side = (canvas.width = canvas.height = model.size);
  const [a, b] = square.turn.map((part) => (part * side * width) / bitmap.width);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingQuality = "high";
  context.setTransform(a, b, -b, a, square.shift[0] * side, square.shift[1] * side);
  context.drawImage(bitmap, 0, 0);
  context.resetTransform();
  return context;
}

/** Adds a change of the preview, `base`, to its pixels: the server's `add_change`, bilinear, at the preview's size. */
function add(image, base, change, { square }, scale) {
  const size = model.size, last = size - 1, pixels = image.data, levels = base.data;
  const [a, b] = square.turn.map((part) => part * scale), [left, top] = square.shift;
  const corners = [[0, 0], [1, 0], [0, 1], [1, 1]].map(([u, v]) => {
    const x = u - left, y = v - top, length = a * a + b * b;
    return [(x * a + y * b) / length, (y * a - x * b) / length];
  });
  const span = (axis, end) => {
    const values = corners.map((corner) => corner[axis]);
    return [Math.max(0, Math.floor(Math.min(...values))), Math.min(end, Math.ceil(Math.max(...values)))];
  };
  const [x0, x1] = span(0, image.width), [y0, y1] = span(1, image.height);
  for (let y = y0; y < y1; y++) {
    // Where the row's pixels lie in the change: one step on for each. A million pixels a move.
    let u = (a * (x0 - 0.5) - b * (y + 0.5) + left) * size - 0.5;
    let v = (b * (x0 - 0.5) + a * (y + 0.5) + top) * size - 0.5;
    let p = 4 * (y * image.width + x0 - 1);
    for (let x = x0; x < x1; x++) {
      u += a * size;
      v += b * size;
      p += 4;
      if (u < 0 || v < 0 || u >= last || v >= last) continue;  // 0 there
      const column = u | 0, row = v | 0, du = u - column, dv = v - row;
      const q = 6 * (row * size + column), r = q + 6 * size;
      const se = du * dv, ne = du - se, sw = dv - se, nw = 1 - du - sw;
      for (let c = 0; c < 3; c++) {
        const offset = nw * change[q + c] + ne * change[q + c + 6] + sw * change[r + c] + se * change[r + c + 6];
        const slope = nw * change[q + c + 3] + ne * change[q + c + 9] + sw * change[r + c + 3] + se * change[r + c + 9];
        pixels[p + c] += OFFSET * offset + SLOPE * slope * levels[p + c];
      }
    }
  }
}

function draw() {
  const { base, changes, width, faces } = photo;
  const image = new ImageData(new Uint8ClampedArray(base.data), base.width, base.height);
  for (const one of faces) {
    if (changes.get(one.number)) add(image, base, changes.get(one.number), one, width / base.width);
  }
  $("after").getContext("2d").putImageData(image, 0, 0);
  $("after").setAttribute("aria-label", [photo.name, ...photo.faces.flatMap(described)].join("; "));
}

const described = ({ number }) =>
  Object.entries(choices.get(number) ?? {})
    .filter(([, { source }]) => source !== OWN)
    .map(([name, { source, strength }]) => `face ${number} with ${words(name)} of ${nameOf(source)}, ${percent(strength)}`);

const percent = (strength) => `${Math.round(strength * 100)} percent`;

// ── What follows the hand: one request at a time, always for the newest state ──

const waiting = new Set();  // faces that are to be drawn anew
let previews = [];  // pictures of styles, drawn while nothing else is asked for
let working = false;

async function pump() {
  if (working) return;
  working = true;
  while (photo && (waiting.size || previews.length)) {
    const shown = photo;
    if (waiting.size) {
      const [one] = waiting;
      waiting.delete(one);
      await trying("take-error", async () => {
        const change = await changeOf(one.codes, choices.get(one.number));
        if (shown !== photo) return;
        photo.changes.set(one.number, change);
        draw();
      });
      if (!waiting.size) $("frame").setAttribute("aria-busy", "false");
    } else {
      const { one, name, style, canvas } = previews.shift();
      // Not worth a word where it fails: what the person does next will say why.
      const change = await changeOf(one.codes, { [name]: { source: style, strength: 1 } }).catch(() => null);
      if (change && shown === photo && one === face) drawStyle(canvas, one, change);
    }
  }
  working = false;
}

function drawStyle(canvas, one, change) {
  const context = drawFace(canvas, photo, one);
  const image = context.getImageData(0, 0, model.size, model.size);
  for (let i = 0, j = 0; i < image.data.length; i += 4, j += 6) {
    for (let c = 0; c < 3; c++) image.data[i + c] += OFFSET * change[j + c] + SLOPE * change[j + c + 3] * image.data[i + c];
  }
  context.putImageData(image, 0, 0);
}

function changed(one) {
  say("take-error", "");
  waiting.add(one);
  $("frame").setAttribute("aria-busy", "true");
  pump();
}

function moved() {
  say("photo-error", "");  // the person goes on
  changed(face);
}

// ── Attributes: where each comes from, and how much of it ──

function buildAttribute(name) {
  const controls = { chips: new Map(), box: element("fieldset", { disabled: true }), list: element("div", { className: "chips" }) };
  const id = `strength-${name}`;
  controls.range = element("input", { id, type: "range", min: 0, max: model.strongest, step: 0.01, value: 1, disabled: true });
  controls.output = element("output", { htmlFor: id, value: "1.00" });
  controls.range.addEventListener("input", () => {
    choices.get(face.number)[name].strength = controls.range.valueAsNumber;
    showStrength(name);
    moved();
  });
  controls.box.append(
    element("legend", {}, title(name)),
    controls.list,
    element("div", { className: "strength" }, element("label", { htmlFor: id }, "How much"), controls.range, controls.output),
  );
  controls.range.setAttribute("aria-label", `How much ${words(name)}`);
  attributes.set(name, controls);
  addChip(name, OWN, "Yours");
  for (const style of model.styles[name]) addChip(name, style, title(style));
  $("attributes").append(controls.box);
}

function addChip(name, source, caption) {
  const { chips, list } = attributes.get(name);
  const input = element("input", { type: "radio", name: `take-${name}`, value: source, checked: source === OWN });
  const canvas = element("canvas", { width: 1, height: 1, ariaHidden: "true" });
  const chip = element("label", { className: "chip", title: caption }, input, canvas, element("span", {}, caption));
  input.addEventListener("change", () => {
    choices.get(face.number)[name].source = source;
    showStrength(name);
    moved();
  });
  chips.set(source, { chip, input, canvas });
  // References stand before styles, next to the photo's own.
  const first = [...chips].find(([other]) => other.startsWith("@"))?.[1];
  list.insertBefore(chip, (!source.startsWith("@") && first?.chip) || null);
  return canvas;
}

function showStrength(name) {
  const { source, strength } = choices.get(face.number)[name];
  const { range, output } = attributes.get(name);
  range.disabled = source === OWN;
  range.value = strength;
  output.value = strength.toFixed(2);
  range.setAttribute("aria-valuetext", source === OWN ? "nothing taken" : `${percent(strength)} of ${nameOf(source)}`);
}

function chooseFace(one) {
  face = one;
  const several = photo.faces.length > 1;
  zoom();
  $("take-title").textContent = several ? `What face ${one.number} takes` : "What to take";
  for (const button of $("faces").children) button.setAttribute("aria-pressed", String(button.value === String(one.number)));
  previews = [];
  for (const [name, { box, chips }] of attributes) {
    box.disabled = false;
    chips.get(choices.get(one.number)[name].source).input.checked = true;
    showStrength(name);
    drawFace(chips.get(OWN).canvas, photo, one);
    for (const [style, { canvas }] of chips) {
      if (!style.startsWith("@")) continue;
      drawFace(canvas, photo, one);
      previews.push({ one, name, style, canvas });
    }
  }
  pump();
}

// ── Photo and references ──

let opening = null;

const openPhoto = (files) => attempt("photo-error", async () => {
  opening?.abort();
  const { signal } = (opening = new AbortController());
  const [file] = files;
  const opened = await busy("photo-busy", `Looking for faces in ${file.name} …`, () => encode(file, signal));
  // Without a face to edit, the photo before stays.
  if (!opened.faces.some((one) => one.codes)) throw new Refusal(opened.faces[0].trouble);
  showPhoto(opened);
  if (files.length > 1) throw new Refusal(`One photo at a time: ${file.name} is shown, the others were left out.`);
});

function showPhoto(opened) {
  photo = opened;
  waiting.clear();
  const { bitmap } = photo;
  for (const id of ["before", "after"]) {
    $(id).width = bitmap.width;
    $(id).height = bitmap.height;
  }
  const context = $("before").getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  photo.base = context.getImageData(0, 0, bitmap.width, bitmap.height);
  photo.changes = new Map();
  setVariables($("stage"), { ratio: bitmap.width / bitmap.height });
  $("attributes").hidden = false;
  $("photo-name").textContent = `${photo.name}, ${photo.width} × ${photo.height}`;
  $("photo-drop").hidden = true;
  $("take-hint").hidden = true;
  $("stage").hidden = false;
  $("format").value = ["image/png", "image/webp"].find((type) => type === photo.blob.type)?.slice(6) ?? "jpeg";
  moveDivider(0);

  const usable = photo.faces.filter((one) => one.codes);
  for (const number of choices.keys()) if (!usable.some((one) => one.number === number)) choices.delete(number);
  for (const { number } of usable) {
    // The same references on another photo: what face 1 took, the new face 1 takes.
    if (!choices.has(number)) choices.set(number, Object.fromEntries(model.attributes.map((name) => [name, { source: OWN, strength: 1 }])));
  }
  $("faces").replaceChildren(...(photo.faces.length > 1 ? photo.faces.map(faceButton) : []));
  draw();
  chooseFace(usable[0]);
  usable.forEach(changed);
  const found = photo.faces.length === 1 ? "1 face found" : `${photo.faces.length} faces found`;
  say("status", usable.length === photo.faces.length ? found : `${found}, ${usable.length} can be edited`);
}

function faceButton(one) {
  const button = element("button", { type: "button", value: one.number }, element("span", {}, String(one.number)));
  const [left, top, width, height] = one.box;
  setVariables(button, {
    left: left / photo.width, width: width / photo.width, top: top / photo.height, height: height / photo.height,
  });
  button.setAttribute("aria-label", one.codes ? `Face ${one.number}` : `Face ${one.number}, cannot be edited`);
  if (!one.codes) button.setAttribute("aria-disabled", "true");
  button.addEventListener("click", () => (one.codes ? chooseFace(one) : say("photo-error", one.trouble)));
  return button;
}

let lastReference = 0;

const addReferences = (files) => attempt("references-error", async () => {
  const problems = [];
  for (const file of files) {
    try {
      const opened = await busy("references-busy", `Looking for a face in ${file.name} …`, () => encode(file));
      // The largest face counts, as on the command line.
      const [largest] = opened.faces;
      if (!largest.codes) throw new Refusal(largest.trouble);
      addReference(opened, largest);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      problems.push(error.message);
    }
  }
  if (problems.length) throw new Refusal(problems.join(" · "));
});

function addReference(opened, largest) {
  const source = `r${++lastReference}`, { name, blob } = opened;
  references.set(source, { name, blob, units: largest.units });
  const caption = name.replace(/\.[^.]*$/, "");
  const canvas = element("canvas", { ariaHidden: "true" });
  drawFace(canvas, opened, largest);
  const remove = element("button", { type: "button", title: "Remove", ariaLabel: `Remove ${name}` }, "×");
  const item = element("li", {}, canvas, element("span", { title: name }, caption), remove);
  remove.addEventListener("click", () => {
    removeReference(source);
    item.remove();
    $("references").hidden = !references.size;
    $("references-file").focus();  // what had the focus is gone
  });
  $("references").append(item);
  $("references").hidden = false;
  for (const attribute of model.attributes) drawFace(addChip(attribute, source, caption), opened, largest);
  say("status", `${name} can be taken from`);
}

function removeReference(source) {
  for (const [name, { chips }] of attributes) {
    for (const [number, choice] of choices) {
      if (choice[name].source !== source) continue;
      choice[name].source = OWN;
      const one = photo.faces.find((other) => other.number === number);
      if (one === face) {
        chips.get(OWN).input.checked = true;
        showStrength(name);
      }
      changed(one);
    }
    chips.get(source).chip.remove();
    chips.delete(source);
  }
  references.delete(source);
}

// ── Saving ──

const save = () => attempt("save-error", async () => {
  if ($("download").ariaDisabled === "true") return;
  if (!photo) throw new Refusal("There is no photo yet: drop or choose one first.");
  const used = [];
  const edits = [...choices].map(([number, choice]) => {
    const edit = { face: number, take: {}, strength: {} };
    for (const [name, { source, strength }] of Object.entries(choice)) {
      if (source === OWN) continue;
      if (references.has(source) && !used.includes(source)) used.push(source);
      edit.take[name] = references.has(source) ? used.indexOf(source) + 1 : source;
      edit.strength[name] = strength;
    }
    return edit;
  }).filter((edit) => Object.keys(edit.take).length);
  if (!edits.length) throw new Refusal("Nothing is taken yet: choose above what your face takes from where.");

  const form = new FormData(), format = $("format").value;
  const files = [["photo", photo], ...used.map((source) => ["references", references.get(source)])];
  for (const [field, { blob, name }] of files) form.append(field, blob, name);
  form.append("edits", JSON.stringify(edits));
  form.append("format", format);
  form.append("mark", $("mark").checked);
  const bytes = files.reduce((sum, [, { blob }]) => sum + blob.size, 0);
  if (bytes > model.max_upload - 10_000) {
    throw new Refusal(
      `The photo and its references have ${megabytes(bytes)} MB together; at most ${megabytes(model.max_upload)} MB can be sent: take smaller references`,
    );
  }
  const { name } = photo;
  $("download").ariaDisabled = "true";
  $("download").textContent = "Making it …";
  try {
    const picture = await (await ask("v1/transfer", { method: "POST", body: form })).blob();
    const link = element("a", {
      href: URL.createObjectURL(picture),
      download: `${name.replace(/\.[^.]*$/, "")}-traitswap.${format === "jpeg" ? "jpg" : format}`,
    });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
    say("status", `${link.download} is saved`);
  } finally {
    $("download").ariaDisabled = null;
    $("download").textContent = "Download";
  }
});

// ── The page's own controls ──

function element(tag, properties, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function setVariables(target, values) {
  for (const [name, value] of Object.entries(values)) target.style.setProperty(`--${name}`, value);
}

/** Shows the whole photo, or what lies round the face that the controls are of. */
function zoom() {
  let scale = 1, x = 0, y = 0;
  if ($("zoom").ariaPressed === "true") {
    const [left, top, width, height] = face.box;
    // With the hair round it, but no blown-up pixels.
    scale = Math.max(1, Math.min(photo.width / (2.4 * width), photo.height / (2.4 * height), 6));
    const within = (middle) => Math.min(Math.max(middle - 0.5 / scale, 0), 1 - 1 / scale);
    x = within((left + width / 2) / photo.width);
    y = within((top + height / 2) / photo.height);
  }
  setVariables($("frame"), { zoom: scale, x, y });
}

function moveDivider(value) {
  $("divider").value = value;
  setVariables($("frame"), { before: `${value}%` });
  $("divider").setAttribute("aria-valuetext", `before on the left ${value} percent, after on the rest`);
}

const takers = { photo: openPhoto, references: addReferences };

function listen() {
  for (const [kind, take] of Object.entries(takers)) {
    const input = $(`${kind}-file`);
    input.addEventListener("change", () => {
      const files = [...input.files];
      input.value = "";  // so that the same file can be chosen again
      if (files.length) take(files);
    });
  }
  const over = (target) => {
    document.body.classList.toggle("dragging", target !== undefined);
    for (const zone of document.querySelectorAll("[data-drop]")) zone.classList.toggle("over", zone === target);
  };
  // Everywhere, or the browser would open a photo that misses, and the page be gone.
  addEventListener("dragover", (event) => {
    event.preventDefault();
    over(event.target.closest?.("[data-drop]") ?? null);
  });
  addEventListener("dragleave", (event) => event.relatedTarget || over());
  addEventListener("drop", (event) => {
    event.preventDefault();
    over();
    const kind = event.target.closest?.("[data-drop]")?.dataset.drop;
    const files = [...event.dataTransfer.files];
    if (!kind) say("photo-error", "Drop it on your photo or on the references.");
    else if (files.length) takers[kind](files);
    else say(`${kind}-error`, "That was no file: save the picture first, then drop its file.");
  });
  $("zoom").addEventListener("click", () => {
    $("zoom").ariaPressed = String($("zoom").ariaPressed !== "true");
    zoom();
  });
  $("divider").addEventListener("input", () => moveDivider($("divider").valueAsNumber));
  $("save").addEventListener("submit", (event) => {
    event.preventDefault();
    save();
  });
}

async function start() {
  if (!["localhost", "127.0.0.1", "[::1]"].includes(location.hostname)) {
    $("where").textContent = `Photos go to ${location.host}, are worked on in its memory, and are not stored.`;
  }
  Object.assign(model, await (await ask("v1/model")).json());
  model.attributes.forEach(buildAttribute);
  listen();
}

attempt("photo-error", start);
