"use strict";
// Shows the maps of a study. Texts only ever become text nodes, and nothing is loaded: the page's security policy
// forbids anything else.
(() => {
  const page = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id);
  document.documentElement.classList.add("script");

  const MOST = 4;
  const GREY = { level: 128, width: 256 };
  const state = {
    image: 0,
    shown: [], // numbers of the maps side by side
    active: 0, // the one of them whose words are listed
    patch: null, // [row, column] that is pointed at
    kept: false, // whether the patch stays when the pointer leaves
    word: -1, // number of the word whose map is shown instead
    keptWord: -1,
    ...GREY,
  };
  let panels = [];

  // ---- what the file holds ----

  // Similarities (n, rows, columns) from base64 of 16-bit ten-thousandths; the least number is no number.
  function unpack(text) {
    const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    return Float64Array.from(new Int16Array(bytes.buffer), (n) => (n === -32768 ? NaN : n / 10000));
  }
  const unpacked = new WeakMap();
  function valuesOf(owner) {
    if (!unpacked.has(owner)) unpacked.set(owner, unpack(owner.values));
    return unpacked.get(owner);
  }
  const image = () => page.images[state.image];
  const mapOf = (number) => image().maps[number];
  // The similarities of a word: a slice of the values of all words.
  function wordValues(map, word) {
    const size = image().rows * image().columns;
    return valuesOf(map.words).subarray(word * size, (word + 1) * size);
  }
  // What a panel shows: its map, or in the active panel the map of a word.
  function viewOf(number) {
    const map = mapOf(number);
    if (number === state.active && state.word >= 0) {
      const word = map.words.pieces.find(([, own]) => own === state.word)[0];
      return { label: `${word} (word)`, values: wordValues(map, state.word), kind: "phrase", threshold: null, score: "" };
    }
    return { label: map.label, values: valuesOf(map), kind: map.kind, threshold: map.threshold, score: map.score };
  }
  const signed = (value) => (Number.isNaN(value) ? "no value" : (value < 0 ? "" : "+") + value.toFixed(3));

  // ---- colours ----

  // How strong the colour of a value is, from -1 to 1, as tier_cli/maps/colours.py has it.
  function strength(value, { low, high, diverging }) {
    const strong = diverging ? value / Math.max(Math.abs(low), Math.abs(high)) : (value - low) / (high - low);
    return Math.min(Math.max(strong, diverging ? -1 : 0), 1);
  }
  // The weaker, the more transparent: a map that says nothing leaves the image as it is.
  function colour(value, scale, opacity) {
    const strong = strength(value, scale);
    return [...(strong < 0 ? page.below : page.above), Math.abs(strong) * opacity];
  }
  const css = ([r, g, b, a]) => `rgb(${r} ${g} ${b} / ${a})`;
  const opacity = () => (byId("show").checked ? byId("opacity").valueAsNumber / 100 : 0);

  // ---- the radiograph ----

  const pictures = [];
  async function loadPicture(number) {
    if (!pictures[number]) {
      const source = document.querySelector(`#image${number} .source`);
      await source.decode();
      const canvas = document.createElement("canvas");
      [canvas.width, canvas.height] = [source.naturalWidth, source.naturalHeight];
      const context = canvas.getContext("2d", { willReadFrequently: true });
      context.drawImage(source, 0, 0);
      const windowed = context.getImageData(0, 0, canvas.width, canvas.height);
      const grey = new Uint8Array(canvas.width * canvas.height);
      for (let i = 0; i < grey.length; i++) grey[i] = windowed.data[4 * i];
      pictures[number] = { width: canvas.width, height: canvas.height, grey, windowed };
    }
    return pictures[number];
  }
  function drawPictures() {
    const picture = pictures[state.image];
    if (!picture) return;
    const levels = new Uint8ClampedArray(256).map((_, grey) => ((grey - (state.level - state.width / 2)) / state.width) * 256);
    const table = Uint32Array.from(levels, (grey) => (0xff000000 | (grey * 0x010101)) >>> 0);
    const target = new Uint32Array(picture.windowed.data.buffer);
    for (let i = 0; i < target.length; i++) target[i] = table[picture.grey[i]];
    for (const { radiograph } of panels) radiograph.getContext("2d").putImageData(picture.windowed, 0, 0);
  }

  // ---- maps ----

  // Edges of the patches in pixels of a canvas; whole numbers, so that neighbours neither overlap nor leave a gap.
  function edgesOn(canvas) {
    const { size, down, across } = image();
    return {
      down: down.map((y) => Math.round((y / size[0]) * canvas.height)),
      across: across.map((x) => Math.round((x / size[1]) * canvas.width)),
    };
  }
  function drawMap({ number, overlay, legend }) {
    const { rows, columns, scales } = image();
    const view = viewOf(number);
    const context = overlay.getContext("2d");
    const { down, across } = edgesOn(overlay);
    context.clearRect(0, 0, overlay.width, overlay.height);
    hatchOutside(context, [across[0], down[0], across[columns], down[rows]]);
    context.fillStyle = darken();
    context.fillRect(across[0], down[0], across[columns] - across[0], down[rows] - down[0]);
    const draw = byId("smooth").checked ? drawSmooth : drawPatches;
    draw(context, view.values, scales[view.kind], down, across);
    if (view.threshold !== null && opacity() > 0) outlineAbove(context, view, down, across);
    if (state.patch) {
      const [row, column] = state.patch;
      const box = [across[column], down[row], across[column + 1] - across[column], down[row + 1] - down[row]];
      outline(context, "#fff", () => context.rect(...box), 2);
    }
    drawLegend(legend, view, scales[view.kind]);
  }
  // On white bone no colour would stand out: the map darkens the image a little.
  const darken = () => `rgb(0 0 0 / ${0.4 * opacity()})`;
  function drawPatches(context, values, scale, down, across) {
    const columns = across.length - 1;
    values.forEach((value, i) => {
      const [row, column] = [Math.floor(i / columns), i % columns];
      const box = [across[column], down[row], across[column + 1] - across[column], down[row + 1] - down[row]];
      if (Number.isNaN(value)) hatch(context, () => context.rect(...box));
      else {
        context.fillStyle = css(colour(value, scale, opacity()));
        context.fillRect(...box);
      }
    });
  }
  // Interpolates between the centres of patches; beyond the outer centres the values stay as they are.
  function drawSmooth(context, values, scale, down, across) {
    const [rows, columns] = [down.length - 1, across.length - 1];
    const fine = Math.max(1, Math.min(16, Math.floor(640 / Math.max(rows, columns))));
    const small = document.createElement("canvas");
    [small.width, small.height] = [columns * fine, rows * fine];
    const pixels = small.getContext("2d").createImageData(small.width, small.height);
    const between = (i, count) => {
      const at = Math.min(Math.max((i + 0.5) / fine - 0.5, 0), count - 1);
      const low = Math.min(Math.floor(at), Math.max(count - 2, 0));
      return [low, Math.min(low + 1, count - 1), at - low];
    };
    for (let y = 0; y < small.height; y++) {
      const [above, below, v] = between(y, rows);
      for (let x = 0; x < small.width; x++) {
        const [left, right, u] = between(x, columns);
        const upper = values[above * columns + left] * (1 - u) + values[above * columns + right] * u;
        const lower = values[below * columns + left] * (1 - u) + values[below * columns + right] * u;
        const value = upper * (1 - v) + lower * v;
        if (Number.isNaN(value)) continue;
        const [r, g, b, a] = colour(value, scale, opacity());
        pixels.data.set([r, g, b, Math.round(a * 255)], 4 * (y * small.width + x));
      }
    }
    small.getContext("2d").putImageData(pixels, 0, 0);
    context.drawImage(small, across[0], down[0], across[columns] - across[0], down[rows] - down[0]);
  }
  function outlineAbove(context, { values, threshold }, down, across) {
    const [rows, columns] = [down.length - 1, across.length - 1];
    const above = (row, column) =>
      row >= 0 && column >= 0 && row < rows && column < columns && values[row * columns + column] >= threshold;
    outline(context, "#fff", () => {
      for (let row = 0; row <= rows; row++) {
        for (let column = 0; column <= columns; column++) {
          if (column < columns && above(row, column) !== above(row - 1, column)) {
            context.moveTo(across[column], down[row]);
            context.lineTo(across[column + 1], down[row]);
          }
          if (row < rows && above(row, column) !== above(row, column - 1)) {
            context.moveTo(across[column], down[row]);
            context.lineTo(across[column], down[row + 1]);
          }
        }
      }
    }, 1);
  }
  // A light line on a dark one is seen on every grey.
  function outline(context, light, trace, width) {
    context.beginPath();
    trace();
    for (const [style, factor] of [["#000", 2.2], [light, 1]]) {
      context.strokeStyle = style;
      context.lineWidth = width * factor * devicePixelRatio;
      context.stroke();
    }
  }
  function hatchOutside(context, [x0, y0, x1, y1]) {
    const { width, height } = context.canvas;
    hatch(context, () => {
      context.rect(0, 0, width, Math.max(y0, 0));
      context.rect(0, y1, width, Math.max(height - y1, 0));
      context.rect(0, Math.max(y0, 0), Math.max(x0, 0), y1 - Math.max(y0, 0));
      context.rect(x1, Math.max(y0, 0), Math.max(width - x1, 0), y1 - Math.max(y0, 0));
    });
  }
  function hatch(context, trace) {
    const { width, height } = context.canvas;
    context.save();
    context.beginPath();
    trace();
    context.clip();
    context.fillStyle = "rgb(0 0 0 / 0.6)";
    context.fillRect(0, 0, width, height);
    context.strokeStyle = "rgb(255 255 255 / 0.35)";
    context.lineWidth = devicePixelRatio;
    context.beginPath();
    for (let x = -height; x < width; x += 9 * devicePixelRatio) {
      context.moveTo(x, height);
      context.lineTo(x + height, 0);
    }
    context.stroke();
    context.restore();
  }
  // The scale over black to white, as it looks over the image; ticks for the threshold and for the patch.
  function drawLegend(legend, view, scale) {
    const { canvas, low, high } = legend;
    const context = canvas.getContext("2d");
    const { width, height } = canvas;
    const ramp = context.createLinearGradient(0, 0, 0, height);
    ramp.addColorStop(0, "#000");
    ramp.addColorStop(1, "#fff");
    context.fillStyle = ramp;
    context.fillRect(0, 0, width, height);
    context.fillStyle = darken();
    context.fillRect(0, 0, width, height);
    for (let x = 0; x < width; x++) {
      context.fillStyle = css(colour(scale.low + ((x + 0.5) / width) * (scale.high - scale.low), scale, opacity()));
      context.fillRect(x, 0, 1, height);
    }
    const tick = (value, from, to, line) => {
      const x = Math.min(Math.max((value - scale.low) / (scale.high - scale.low), 0), 1) * width;
      outline(context, "#fff", () => {
        context.moveTo(x, from * height);
        context.lineTo(x, to * height);
      }, line);
    };
    if (scale.low < 0 && scale.high > 0) tick(0, 0.75, 1, 0.5);
    if (view.threshold !== null) tick(view.threshold, 0, 0.45, 1);
    const value = state.patch && valueAt(view.values, state.patch);
    if (state.patch && !Number.isNaN(value)) tick(value, 0, 1, 2);
    [low.textContent, high.textContent] = [scale.low, scale.high].map((end) => (end < 0 ? "" : "+") + end.toFixed(2));
    const stands = view.threshold === null ? "" : `; a patch stands out from ${signed(view.threshold)}`;
    canvas.setAttribute("aria-label", `Colours from ${low.textContent} to ${high.textContent}${stands}`);
  }
  const valueAt = (values, [row, column]) => values[row * image().columns + column];

  // ---- panels ----

  function element(name, attributes = {}, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  }
  const resized = new ResizeObserver(() => drawSoon());
  function buildPanels() {
    const [height, width] = image().size;
    resized.disconnect();
    const numbers = state.shown.length ? state.shown : [-1];
    panels = numbers.map((number) => {
      const [radiograph, overlay] = [0, 1].map(() => element("canvas", { "aria-hidden": "true" }));
      const stage = element("div", { class: "stage", tabindex: "0", role: "application" }, radiograph, overlay);
      const picture = pictures[state.image];
      [radiograph.width, radiograph.height] = [picture.width, picture.height];
      const [name, score] = ["name", "score"].map((part) => element("span", { class: part }));
      const legend = { canvas: element("canvas", { role: "img" }), low: element("span"), high: element("span") };
      const bar = element("div", { class: "legend" }, legend.low, legend.canvas, legend.high);
      bar.hidden = number < 0;
      const figure = element("figure", {}, element("figcaption", {}, name, score), stage, bar);
      figure.style.setProperty("--ratio", width / height);
      const panel = { number, figure, stage, radiograph, overlay, legend, name, score };
      listen(panel);
      resized.observe(stage);
      return panel;
    });
    byId("panels").replaceChildren(...panels.map((panel) => panel.figure));
    drawPictures();
    draw();
  }
  let waiting = false;
  function drawSoon() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      draw();
    });
  }
  function draw() {
    for (const panel of panels) {
      for (const canvas of [panel.overlay, panel.legend.canvas]) {
        const [width, height] = [canvas.clientWidth, canvas.clientHeight].map((n) => Math.max(1, Math.round(n * devicePixelRatio)));
        if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
      }
      const { rows, columns } = image();
      const view = panel.number < 0 ? { label: "No map", score: "" } : viewOf(panel.number);
      panel.name.textContent = view.label;
      const from = typeof view.threshold === "number" ? `outlined from ${signed(view.threshold)}` : "";
      panel.score.textContent = [view.score && `score ${view.score}`, from].filter(Boolean).join(", ");
      panel.stage.setAttribute("aria-label", `${view.label}: ${rows} by ${columns} patches; arrow keys move over them`);
      if (panel.number >= 0) drawMap(panel);
    }
    for (const slider of document.querySelectorAll(".slider")) {
      const input = slider.querySelector("input");
      slider.querySelector("output").textContent = input.value + (input.id === "opacity" ? " %" : "");
    }
    drawWords();
    byId("readout").textContent = readout();
    byId("readout").classList.toggle("hint", !state.patch);
  }
  function readout() {
    if (!state.shown.length) return "No map is shown: choose a finding or a text.";
    const smooth = byId("smooth").checked ? "Smooth: colours between the centres of patches are interpolated, not measured. " : "";
    if (!state.patch) return smooth || "Point at a patch to read its value.";
    const { rows, columns } = image();
    const [row, column] = state.patch;
    const values = state.shown.map((number) => {
      const view = viewOf(number);
      const value = valueAt(view.values, state.patch);
      return `${view.label} ${signed(value)}${view.threshold !== null && value >= view.threshold ? ", stands out" : ""}`;
    });
    const words = wordsAt(state.patch).slice(0, 3).map(([word, value]) => `${word} ${signed(value)}`);
    const nearest = words.length ? `. Nearest words: ${words.join(", ")}` : "";
    return `${smooth}Row ${row + 1} of ${rows}, column ${column + 1} of ${columns}: ${values.join("; ")}${nearest}.`;
  }
  const say = (text) => {
    byId("status").textContent = text;
  };

  // ---- pointing at patches ----

  // Patches that lie in the image at least in part: a padded one cannot be pointed at.
  function reachable(edges, length) {
    const inside = edges.slice(1).map((end, i) => end > 0 && edges[i] < length);
    return [inside.indexOf(true), inside.lastIndexOf(true)];
  }
  function patchAt(stage, event) {
    const { size, down, across } = image();
    const box = stage.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * size[1];
    const y = ((event.clientY - box.top) / box.height) * size[0];
    if (x < 0 || y < 0 || x >= size[1] || y >= size[0]) return null;
    const row = down.findLastIndex((edge) => edge <= y);
    const column = across.findLastIndex((edge) => edge <= x);
    return row < 0 || column < 0 || row >= image().rows || column >= image().columns ? null : [row, column];
  }
  const same = (a, b) => a !== null && b !== null && a[0] === b[0] && a[1] === b[1];
  function point(patch) {
    if (patch === state.patch || same(patch, state.patch)) return;
    state.patch = patch;
    drawSoon();
  }
  function movePatch(down, across) {
    const { rows, columns, size } = image();
    const [top, bottom] = reachable(image().down, size[0]);
    const [left, right] = reachable(image().across, size[1]);
    const [row, column] = state.patch ?? [Math.floor(rows / 2) - down, Math.floor(columns / 2) - across];
    const limit = (n, low, high) => Math.min(Math.max(n, low), high);
    state.kept = true;
    state.patch = [limit(row + down, top, bottom), limit(column + across, left, right)];
    draw();
    say(readout());
  }
  function setWindow(level, width) {
    const limit = (n, input) => Math.min(Math.max(Math.round(n), +input.min), +input.max);
    state.level = limit(level, byId("level"));
    state.width = limit(width, byId("width"));
    byId("level").value = state.level;
    byId("width").value = state.width;
    requestAnimationFrame(drawPictures);
    drawSoon();
  }
  const ARROWS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
  function listen({ stage, number }) {
    let start = null;
    stage.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      start = { x: event.clientX, y: event.clientY, level: state.level, width: state.width, moved: false };
      stage.setPointerCapture(event.pointerId);
    });
    stage.addEventListener("pointermove", (event) => {
      if (start === null) {
        if (!state.kept && event.pointerType === "mouse") point(patchAt(stage, event));
        return;
      }
      const [right, down] = [event.clientX - start.x, event.clientY - start.y];
      start.moved ||= Math.hypot(right, down) > 4;
      // With a finger, up and down scrolls the page.
      if (start.moved) setWindow(start.level + (event.pointerType === "mouse" ? down / 2 : 0), start.width + right);
    });
    stage.addEventListener("pointerup", (event) => {
      if (start !== null && !start.moved) {
        const patch = patchAt(stage, event);
        const again = state.kept && same(patch, state.patch);
        state.kept = patch !== null && !again;
        point(again && event.pointerType !== "mouse" ? null : patch);
        activate(number);
      }
      start = null;
    });
    stage.addEventListener("pointercancel", () => {
      start = null;
    });
    stage.addEventListener("pointerleave", () => {
      if (!state.kept) point(null);
    });
    stage.addEventListener("focus", () => activate(number));
    stage.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.altKey || event.metaKey) return;
      const arrow = ARROWS[event.key];
      if (arrow && event.shiftKey) setWindow(state.level + 4 * arrow[0], state.width + 8 * arrow[1]);
      else if (arrow) movePatch(...arrow);
      else if (event.key === "Escape") release();
      else if (event.key.toLowerCase() === "m") byId("show").click();
      else return;
      event.preventDefault();
    });
  }
  function release() {
    [state.patch, state.kept, state.keptWord, state.word] = [null, false, -1, -1];
    say("Nothing is pointed at.");
    draw();
  }
  function activate(number) {
    if (number < 0 || state.active === number) return;
    [state.active, state.word, state.keptWord] = [number, -1, -1];
    buildWords();
    draw();
  }

  // ---- words ----

  let buttons = []; // one per word that the model read, with its number
  function buildWords() {
    const map = state.shown.length ? mapOf(state.active) : null;
    const words = map?.words;
    const whose = map?.kind === "phrase" ? "The text" : `For ${map?.label}, the text`;
    byId("words-of").textContent = words
      ? `${whose} that the image was compared with. A word of several tokens shows the mean of their maps.`
      : "No words were compared for this map.";
    buttons = [];
    const pieces = (words?.pieces ?? []).map(([text, number]) => {
      if (number === -1) return document.createTextNode(text);
      if (number === -2) return element("span", { class: "unread", title: "The model did not read this word." }, text);
      const value = element("small");
      const button = element("button", { type: "button", tabindex: buttons.length ? "-1" : "0", "aria-pressed": "false" }, element("span", {}, text), value);
      buttons.push({ button, number, value, text });
      button.addEventListener("pointerenter", (event) => event.pointerType === "mouse" && showWord(number));
      button.addEventListener("pointerleave", () => showWord(state.keptWord));
      button.addEventListener("focus", () => {
        if (!button.matches(":focus-visible")) return;
        showWord(number);
        say(peak(text, wordValues(map, number)));
      });
      button.addEventListener("blur", () => showWord(state.keptWord));
      button.addEventListener("click", () => {
        state.keptWord = state.keptWord === number ? -1 : number;
        showWord(state.keptWord);
      });
      return button;
    });
    byId("words").replaceChildren(...pieces);
  }
  function showWord(number) {
    if (state.word === number) return;
    state.word = number;
    drawSoon();
  }
  function peak(text, values) {
    const best = values.reduce((found, value, i) => (value > values[found] || Number.isNaN(values[found]) ? i : found), 0);
    const [row, column] = [Math.floor(best / image().columns), best % image().columns];
    return `${text}: highest ${signed(values[best])} in row ${row + 1}, column ${column + 1}`;
  }
  // The words with their values at a patch, highest first.
  function wordsAt(patch) {
    const map = state.shown.length ? mapOf(state.active) : null;
    if (!map?.words) return [];
    return buttons
      .map(({ text, number }) => [text, valueAt(wordValues(map, number), patch)])
      .filter(([, value]) => !Number.isNaN(value))
      .sort((a, b) => b[1] - a[1]);
  }
  function drawWords() {
    const map = state.shown.length ? mapOf(state.active) : null;
    for (const { button, number, value } of buttons) {
      button.setAttribute("aria-pressed", String(number === state.keptWord));
      button.classList.toggle("shown", number === state.word);
      const here = state.patch ? valueAt(wordValues(map, number), state.patch) : NaN;
      value.textContent = Number.isNaN(here) ? "" : signed(here);
      button.style.backgroundColor = Number.isNaN(here) ? "" : css(colour(here, image().scales.phrase, 0.65));
    }
  }

  // ---- the list and the other controls ----

  const rowsOf = (number) => [...document.querySelectorAll(`#image${number} li[data-map]`)];
  function show(numbers, active) {
    [state.shown, state.active] = [numbers, active];
    [state.word, state.keptWord] = [-1, -1];
    for (const row of rowsOf(state.image)) {
      const own = Number(row.dataset.map);
      const shown = numbers.includes(own);
      row.classList.toggle("shown", shown);
      row.querySelector("input").checked = shown;
      row.querySelector("button").setAttribute("aria-pressed", String(shown));
      for (const control of row.children) control.tabIndex = own === active ? 0 : -1;
    }
    buildWords();
    buildPanels();
  }
  function showOnly(number) {
    show([number], number);
    const map = mapOf(number);
    say(`Map of ${map.label}, score ${map.score}. ${peak("Patches", valuesOf(map))}.`);
  }
  function tick(number, on) {
    const others = state.shown.filter((shown) => shown !== number);
    const numbers = on ? [...others, number].slice(-MOST) : others;
    show(numbers, on ? number : numbers.at(-1) ?? number);
    say(numbers.length ? `Maps shown: ${numbers.map((shown) => mapOf(shown).label).join(", ")}.` : "No map is shown.");
  }
  function moveIn(items, from, key) {
    const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[key];
    if (key === "Home") return items[0];
    if (key === "End") return items.at(-1);
    return step && items[Math.min(Math.max(items.indexOf(from) + step, 0), items.length - 1)];
  }
  for (const [number] of page.images.entries()) {
    const area = byId(`image${number}`);
    area.addEventListener("click", (event) => {
      const row = event.target.closest("li[data-map]");
      if (!row) return;
      const box = event.target.closest("input");
      if (box) tick(Number(row.dataset.map), box.checked);
      else showOnly(Number(row.dataset.map));
    });
    area.addEventListener("keydown", (event) => {
      const row = event.target.closest("li[data-map]");
      if (!row || !["ArrowUp", "ArrowDown", "Home", "End"].includes(event.key)) return;
      event.preventDefault();
      const next = moveIn(rowsOf(number).filter((one) => !one.hidden), row, event.key);
      const name = event.target.localName;
      // On names the map follows the focus; on ticks it waits for the space bar.
      if (name === "button") showOnly(Number(next.dataset.map));
      for (const control of row.children) control.tabIndex = -1;
      for (const control of next.children) control.tabIndex = 0;
      next.querySelector(name).focus();
    });
  }
  byId("words").addEventListener("keydown", (event) => {
    const here = buttons.find(({ button }) => button === event.target);
    if (event.key === "Escape") release();
    const next = here && moveIn(buttons, here, event.key);
    if (!next) return;
    event.preventDefault();
    here.button.tabIndex = -1;
    next.button.tabIndex = 0;
    next.button.focus();
  });
  byId("filter").addEventListener("input", (event) => {
    const wanted = event.target.value.trim().toLowerCase();
    for (const row of document.querySelectorAll("li[data-map]")) {
      row.hidden = !row.querySelector(".name").textContent.toLowerCase().includes(wanted);
    }
    // One row stays within reach of the keyboard.
    const rows = rowsOf(state.image).filter((row) => !row.hidden);
    if (rows.length && !rows.some((row) => row.children[0].tabIndex === 0)) {
      for (const control of rows[0].children) control.tabIndex = 0;
    }
  });
  for (const id of ["show", "smooth", "opacity"]) byId(id).addEventListener("input", drawSoon);
  for (const id of ["level", "width"]) {
    byId(id).addEventListener("input", () => setWindow(byId("level").valueAsNumber, byId("width").valueAsNumber));
  }
  byId("reset").addEventListener("click", () => setWindow(GREY.level, GREY.width));

  const tabs = [...document.querySelectorAll('[role="tab"]')];
  async function openImage(number) {
    await loadPicture(number);
    state.image = number;
    [state.patch, state.kept] = [null, false];
    for (const [own, tab] of tabs.entries()) {
      tab.setAttribute("aria-selected", String(own === number));
      tab.tabIndex = own === number ? 0 : -1;
    }
    if (tabs.length) byId("work").setAttribute("aria-labelledby", `tab${number}`);
    for (const own of page.images.keys()) {
      for (const part of ["image", "notes"]) byId(part + own).hidden = own !== number;
    }
    byId("filter").parentElement.hidden = image().maps.length < 12;
    show(image().maps.length ? [0] : [], 0);
  }
  for (const [number, tab] of tabs.entries()) {
    tab.addEventListener("click", () => openImage(number));
    tab.addEventListener("keydown", (event) => {
      const next = moveIn(tabs, tab, event.key);
      if (!next) return;
      event.preventDefault();
      next.focus();
      openImage(tabs.indexOf(next));
    });
  }
  openImage(0);
})();
