// What a tab shows of the server's answer.

function made(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

function bytesOf(base64) {
  return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
}

// A mel as a picture, high values light.
function melPicture({ width, height, grey }) {
  const canvas = made("canvas", { className: "mel", width, height });
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", "Mel spectrogram");
  const pixels = new ImageData(width, height);
  bytesOf(grey).forEach((value, index) => {
    const share = value / 255;
    pixels.data.set([255 * share ** 1.5, 225 * share ** 2, 60 + 150 * share * (1 - share) * 2, 255], 4 * index);
  });
  canvas.getContext("2d").putImageData(pixels, 0, 0);
  return canvas;
}

function speech(answer, name) {
  const url = URL.createObjectURL(new Blob([bytesOf(answer.wav)], { type: "audio/wav" }));
  const link = made("a", { href: url, download: `${name}.wav`, textContent: "Save as WAV" });
  const about = made("p", { className: "note" }, `${answer.seconds.toFixed(2)} s. `, link);
  const audio = made("audio", { controls: true, src: url });
  const limit = "No stop came within the longest that is allowed: the end may be cut off, or repeat itself.";
  const notes = answer.hit_limit ? [made("p", { className: "note", textContent: limit })] : [];
  return [audio, melPicture(answer.mel), about, ...notes];
}

function row(...cells) {
  return made("tr", {}, ...cells);
}

function transcript(answer) {
  const text = answer.text || "(nothing was recognised)";
  const score =
    answer.score === null
      ? "No text was possible: every one had the probability 0."
      : `Mean log-probability of a token: ${answer.score.toFixed(2)} (0 at best).`;
  const found = [made("p", { className: "said", textContent: text }), made("p", { className: "note", textContent: score })];
  if (answer.segments.length < 2) return found;
  const rows = answer.segments.map(({ start, end, text: words }) => {
    const seconds = `${start.toFixed(2)} to ${end.toFixed(2)} s`;
    return row(made("td", { className: "number", textContent: seconds }), made("td", { textContent: words }));
  });
  return [...found, made("table", {}, ...rows)];
}

function identity(answer) {
  const rows = answer.classes.map(([name, share]) =>
    row(
      made("td", { textContent: name }),
      made("td", {}, made("meter", { value: share, max: 1 })),
      made("td", { className: "number", textContent: `${(100 * share).toFixed(1)} %` }),
    ),
  );
  return [made("p", { className: "said", textContent: answer.name }), made("table", {}, ...rows)];
}

// Elements of an answer of the tab `name`.
export function shown(name, answer) {
  const notes = answer.notes.map((note) => made("p", { className: "note", textContent: note }));
  const views = { recognise: transcript, identify: identity };
  return [...(views[name] ?? speech)(answer, name), ...notes];
}
