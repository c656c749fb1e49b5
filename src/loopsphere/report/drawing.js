"use strict";
// Canvas drawings; each takes a canvas, what to draw and the two inks, and keeps no state.

function inks() {
  const style = getComputedStyle(document.documentElement);
  const ink = {};
  for (const name of ["paper", "sheet", "ink", "soft", "line", "bar", "odd", "focus"]) {
    ink[name] = style.getPropertyValue("--" + name).trim();
  }
  return ink;
}

function rgb(hex) {
  const value = parseInt(hex.slice(1), 16);
  return [value >> 16, (value >> 8) & 255, value & 255];
}

function fitted(canvas) {
  const ratio = Math.min(window.devicePixelRatio || 1, 2);
  const width = canvas.clientWidth, height = canvas.clientHeight;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return { context, width, height };
}

function bytes(text) {
  const raw = atob(text), array = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) array[i] = raw.charCodeAt(i);
  return array;
}

// Bars of a histogram, the odd loops, which are the last ones, in the other ink: the bar that the threshold goes through has both. Heights go by the square root, so that one loop among thousands still shows.
function drawHistogram(canvas, counts, nOdd, ink) {
  const { context, width, height } = fitted(canvas);
  const tallest = Math.sqrt(Math.max(...counts)), step = width / counts.length;
  for (let i = counts.length - 1, left = nOdd; i >= 0; i--) {
    const count = counts[i], odd = Math.min(count, left);
    if (!count) continue;
    left -= odd;
    const tall = Math.max(3, Math.sqrt(count) / tallest * (height - 24));
    const oddTall = odd && Math.max(odd < count ? 2 : tall, tall * odd / count);
    for (const [colour, from, much] of [[ink.bar, height - tall, tall - oddTall], [ink.odd, height - oddTall, oddTall]]) {
      context.fillStyle = colour;
      context.fillRect(i * step + 0.5, from, Math.max(1, step - 1.5), much);
    }
  }
}

function drawMap(canvas, points, isOdd, shown, selected, playing, ink) {
  const { context, width } = fitted(canvas);
  const radius = points.count > 4000 ? 0.6 : points.count > 800 ? 1.1 : points.count > 80 ? 1.6 : 2.6;
  const at = (i) => [(points.x[i] + 1) / 2 * width, (1 - points.y[i]) / 2 * width];
  context.fillStyle = ink.soft;
  context.globalAlpha = points.count > 4000 ? 0.35 : 0.6;
  for (let i = 0; i < points.count; i++) {
    if (isOdd(i)) continue;
    const [x, y] = at(i);
    if (radius < 1) context.fillRect(x - radius, y - radius, 2 * radius, 2 * radius);
    else {
      context.beginPath();
      context.arc(x, y, radius + 0.3, 0, 7);
      context.fill();
    }
  }
  context.globalAlpha = 1;
  for (let i = points.count - 1; i >= 0; i--) {
    if (!isOdd(i)) continue;
    const [x, y] = at(i);
    context.globalAlpha = shown(i) ? 1 : 0.25;
    context.fillStyle = ink.odd;
    context.beginPath();
    context.arc(x, y, radius + 1.9, 0, 7);
    context.fill();
  }
  context.globalAlpha = 1;
  for (const [i, colour, size] of [[selected, ink.ink, 9], [playing, ink.focus, 12]]) {
    if (i === null) continue;
    const [x, y] = at(i);
    context.strokeStyle = colour;
    context.lineWidth = 2;
    context.beginPath();
    context.arc(x, y, size, 0, 7);
    context.stroke();
  }
}

// The waveform below, the oddness curve above it; the dashed line is where moments begin to be odd.
function drawWave(canvas, detail, duration, ink) {
  const { context, width, height } = fitted(canvas);
  const peaks = new Int8Array(bytes(detail.peaks).buffer), n = peaks.length / 2;
  const middle = height * 0.66, half = height * 0.33, step = width / n;
  const isOdd = (second) => detail.ranges.some(([start, end]) => second >= start && second < end);
  for (let i = 0; i < n; i++) {
    context.fillStyle = isOdd((i + 0.5) / n * duration) ? ink.odd : ink.soft;
    const top = middle - peaks[2 * i + 1] / 127 * half, bottom = middle - peaks[2 * i] / 127 * half;
    context.fillRect(i * step, top, Math.max(0.7, step * 0.72), Math.max(1, bottom - top));
  }
  if (!detail.curve) return;
  const curve = bytes(detail.curve), most = 2.5, tall = height * 0.33;
  const level = (value) => 3 + tall * (1 - Math.min(value, most) / most);
  context.strokeStyle = ink.soft;
  context.lineWidth = 1;
  context.setLineDash([2, 4]);
  context.beginPath();
  context.moveTo(0, level(1));
  context.lineTo(width, level(1));
  context.stroke();
  context.setLineDash([]);
  context.strokeStyle = ink.odd;
  context.lineWidth = 1.5;
  context.lineJoin = "round";
  context.beginPath();
  curve.forEach((value, i) => context.lineTo((i + 0.5) / curve.length * width, level(value / 64)));
  context.stroke();
}

// The spectrogram in black, and over it, in the other ink, what is unlike the normal loops.
function drawSpectrum(canvas, detail, ink) {
  const { context, width, height } = fitted(canvas);
  const level = bytes(detail.spectrum), [rows, columns] = detail.spectrum_shape;
  const heat = detail.heat ? bytes(detail.heat) : null;
  const paper = rgb(ink.sheet), black = rgb(ink.ink), red = rgb(ink.odd);
  const hottest = heat ? Math.max(2, heat.reduce((most, value) => Math.max(most, value), 0) / 64) : 2;
  const image = context.createImageData(columns, rows);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const dark = level[row * columns + column] / 255;
      let hot = 0;
      if (heat) {
        const [bands, steps] = detail.heat_shape;
        const band = Math.floor(row * bands / rows), step = Math.floor(column * steps / columns);
        hot = 0.95 * Math.max(0, (heat[band * steps + step] / 64 - 0.75) / (hottest - 0.75));
      }
      const to = 4 * ((rows - 1 - row) * columns + column);
      for (let c = 0; c < 3; c++) {
        const grey = paper[c] + (black[c] - paper[c]) * dark * 0.85;
        image.data[to + c] = grey + (red[c] - grey) * hot * (0.35 + 0.65 * dark);
      }
      image.data[to + 3] = 255;
    }
  }
  const small = document.createElement("canvas");
  small.width = columns;
  small.height = rows;
  small.getContext("2d").putImageData(image, 0, 0);
  context.imageSmoothingEnabled = true;
  context.imageSmoothingQuality = "high";
  context.drawImage(small, 0, 0, width, height);
}
