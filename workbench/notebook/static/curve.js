// Curves with bands, a target, a projected crossing and earlier curves in grey; above them figures, below them a stacked
// bar of shares, and a Stop button while what they show goes on.
// An anywidget module: no imports; the same file serves the live widget, JupyterLab without a kernel, and reports.

// Thrice the class, as pages have rules of their own for tables and lists.
const R = '.wb-curve.wb-curve.wb-curve';
const STYLE = `
${R} { --c-text: var(--wb-text, var(--jp-content-font-color1, currentColor)); --c-muted: var(--wb-muted, var(--jp-content-font-color2, GrayText));
  --c-line: var(--wb-grid, var(--jp-border-color2, #8884)); --c-track: var(--wb-track, var(--jp-layout-color2, #8882));
  --c-accent: var(--wb-accent, var(--jp-brand-color1, #1976d2)); --c-warn: var(--wb-warn, var(--jp-warn-color1, #b35900));
  --c-good: var(--wb-good, var(--jp-success-color1, #2e7d32)); --c-error: var(--wb-error, var(--jp-error-color1, #c62828));
  font: 13px/1.45 var(--jp-ui-font-family, system-ui, sans-serif); color: var(--c-text); font-variant-numeric: tabular-nums;
  max-width: 960px; }
${R} [hidden] { display: none !important; }
${R} .wb-c-head { display: flex; gap: 12px; align-items: baseline; min-height: 26px; }
${R} .wb-c-head:empty { display: none; }
${R} .wb-c-title { font-weight: 600; }
${R} .wb-c-status { color: var(--c-muted); flex: 1 1 auto; }
${R} button { font: inherit; color: inherit; padding: 1px 12px; min-height: 24px; cursor: pointer; background: var(--c-track);
  border: 1px solid var(--c-line); border-radius: 3px; }
${R} button:focus-visible, ${R} svg:focus-visible { outline: 2px solid var(--c-accent); outline-offset: 1px; }
${R} button:disabled { cursor: default; opacity: 0.6; }
${R} dl { display: flex; flex-wrap: wrap; gap: 6px 26px; margin: 2px 0 8px; }
${R} dl:empty { display: none; }
${R} dl > div { min-width: 74px; max-width: 300px; }
${R} dt { color: var(--c-muted); font-size: 12px; font-weight: 400; margin: 0; padding: 0; float: none; width: auto; }
${R} dd { margin: 0; padding: 0; font-size: 16px; font-weight: 600; line-height: 1.25; white-space: nowrap; }
${R} dd + dd { font-size: 12px; font-weight: 400; color: var(--c-muted); line-height: 1.35; white-space: normal; }
${R} [data-level="warning"] dd:first-of-type { color: color-mix(in srgb, var(--c-warn) 60%, var(--c-text)); }
${R} [data-level="good"] dd:first-of-type { color: color-mix(in srgb, var(--c-good) 80%, var(--c-text)); }
${R} svg { display: block; width: 100%; border-radius: 3px; }
${R} svg:focus:not(:focus-visible) { outline: none; }
${R} svg text { fill: var(--c-muted); font-size: 11px; }
${R} svg text.wb-c-strong { fill: var(--c-text); }
${R} svg text.wb-c-aim { fill: color-mix(in srgb, var(--c-warn) 60%, var(--c-text)); paint-order: stroke; stroke: var(--wb-page, var(--jp-layout-color0, Canvas)); stroke-width: 3px; }
${R} .wb-c-grid { stroke: var(--c-line); }
${R} .wb-c-old { stroke: var(--c-muted); opacity: 0.38; stroke-width: 1; fill: none; }
${R} .wb-c-target { stroke: var(--c-warn); stroke-dasharray: 5 4; }
${R} .wb-c-mark { stroke: var(--c-muted); stroke-dasharray: 2 3; }
${R} .wb-c-hover { stroke: var(--c-muted); }
${R} .wb-c-bar { fill: var(--c-warn); opacity: 0.5; }
${R} .wb-c-middle { stroke: var(--c-text); stroke-width: 2; }
${R} .wb-c-read { min-height: 1.45em; font-size: 12px; color: var(--c-muted); }
${R} .wb-c-shares { display: flex; height: 14px; border-radius: 3px; overflow: hidden; background: var(--c-track); margin: 2px 0 4px; }
${R} .wb-c-shares i { display: block; min-width: 1px; }
${R} .wb-c-shares i[data-out], ${R} .wb-c-key i[data-out] { opacity: 0.45; }
${R} .wb-c-key { display: flex; flex-wrap: wrap; gap: 2px 16px; font-size: 12px; color: var(--c-muted); }
${R} .wb-c-foot { font-size: 12px; color: var(--c-muted); margin-top: 4px; }
${R} .wb-c-foot:empty { display: none; }
${R} .wb-c-key i { display: inline-block; width: 10px; height: 10px; border-radius: 2px; margin-right: 5px; }
`;

const SVG = 'http://www.w3.org/2000/svg';
// The colours of workbench/notebook/theme.py, in their order.
const SERIES = ['var(--c-accent)', '#c26a00', '#35863a', '#a35cc4', '#d64545', '#15858f', '#8a7300', '#c2528b'];
const [HEIGHT, LEFT, RIGHT, TOP, BOTTOM, POINTS] = [260, 56, 14, 26, 40, 2000];
const CLOCK_STEPS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400];
const LOG_TICKS = [[0.01, '10 ms'], [0.1, '0.1 s'], [1, '1 s'], [10, '10 s'], [60, '1 min'], [600, '10 min'], [3600, '1 h'],
  [36000, '10 h'], [360000, '100 h'], [3600000, '1,000 h']];
const CHART = ['series', 'x_label', 'x_unit', 'x_log', 'y_label', 'target', 'band', 'marks', 'projection'];

const known = value => typeof value === 'number' && Number.isFinite(value);

function element(tag, className, parent, text = '') {
  const one = document.createElement(tag);
  if (className) {
    one.className = className;
  }
  if (text) {
    one.textContent = text;
  }
  parent.append(one);
  return one;
}

function draw(tag, attributes, parent, text = '') {
  const shape = document.createElementNS(SVG, tag);
  Object.entries(attributes).forEach(([name, value]) => shape.setAttribute(name, String(value)));
  if (text) {
    shape.textContent = text;
  }
  parent.append(shape);
  return shape;
}

// -------------------------------------------------------------------------------------------------------------- figures

// At most `digits` significant ones, without zeros at the end; commas for thousands.
function number(value, digits = 4) {
  return value === 0 ? '0' : Number(value.toPrecision(digits)).toLocaleString('en-US', { maximumFractionDigits: 12 });
}

// 75.5 -> "1:15.5", 3700 -> "1:01:40"
function clock(seconds, digits = 0) {
  const scale = 10 ** digits;
  const whole = Math.round(seconds * scale) / scale;
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60)];
  const rest = (whole % 60).toFixed(digits).padStart(digits ? digits + 3 : 2, '0');
  return hours > 0 ? `${hours}:${String(minutes).padStart(2, '0')}:${rest}` : `${minutes}:${rest}`;
}

function ticks(low, high, count) {
  const raw = (high - low) / Math.max(1, count);
  const base = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map(factor => base * factor).find(size => size >= raw * 0.999);
  return span(low, high, step);
}

function span(low, high, step) {
  const found = [];
  for (let index = Math.ceil(low / step - 1e-9); index <= Math.floor(high / step + 1e-9); index++) {
    found.push(index * step);
  }
  return found;
}

// Least and greatest of each bucket, so that no peak is lost.
function thin(count, y) {
  if (count <= POINTS) {
    return null;
  }
  const kept = new Set();
  const buckets = POINTS / 2;
  for (let bucket = 0; bucket < buckets; bucket++) {
    let [least, most] = [-1, -1];
    for (let at = Math.floor((bucket * count) / buckets); at < Math.floor(((bucket + 1) * count) / buckets); at++) {
      if (known(y[at])) {
        least = least < 0 || y[at] < y[least] ? at : least;
        most = most < 0 || y[at] > y[most] ? at : most;
      }
    }
    [least, most].filter(at => at >= 0).forEach(at => kept.add(at));
  }
  return [...kept].sort((a, b) => a - b);
}

function thinned(one) {
  const [x, y] = [one.x || [], one.y || []];
  const kept = thin(x.length, y);
  const pick = values => (values && kept ? kept.map(at => values[at]) : values);
  return { name: one.name || '', old: one.role === 'history', x: pick(x), y: pick(y), lo: pick(one.lo), hi: pick(one.hi),
    labels: pick(one.labels) };
}

function range(values, margin) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    if (known(value)) {
      low = Math.min(low, value);
      high = Math.max(high, value);
    }
  }
  if (low > high) {
    return [0, 1];
  }
  return low === high ? [low - 0.5, high + 0.5] : [low - (high - low) * margin, high + (high - low) * margin];
}

// ----------------------------------------------------------------------------------------------------------------- view

function render({ model, el }) {
  const root = element('div', 'wb-curve', el);
  root.dataset.lmSuppressShortcuts = 'true'; // else JupyterLab takes the keys first
  element('style', '', root).textContent = STYLE;
  const head = element('div', 'wb-c-head', root);
  const figures = element('dl', '', root);
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('tabindex', '0');
  svg.setAttribute('role', 'img');
  root.append(svg);
  const read = element('div', 'wb-c-read', root);
  const bar = element('div', 'wb-c-shares', root);
  const key = element('div', 'wb-c-key', root);
  const foot = element('div', 'wb-c-foot', root);
  const title = element('span', 'wb-c-title', head);
  const status = element('span', 'wb-c-status', head);
  status.setAttribute('role', 'status');
  const stop = element('button', '', head);
  stop.type = 'button';

  let [width, shown, at, over, frame] = [0, [], -1, null, null];
  let toX = value => value;

  function drawHead() {
    const running = Boolean(model.get('running'));
    const stopping = Boolean(model.get('stopping'));
    root.dataset.running = String(running);
    title.textContent = model.get('title') || '';
    const told = running && stopping ? 'Stopping at the next evaluation.' : model.get('status') || '';
    if (status.textContent !== told) {
      status.textContent = told;
    }
    stop.hidden = !running;
    stop.disabled = stopping;
    stop.textContent = stopping ? 'Stopping' : 'Stop';
    stop.setAttribute('aria-label', `Stop ${model.get('title') || 'the run'}`);
    head.hidden = !title.textContent && !told && !running;
  }

  function drawFoot() {
    foot.textContent = model.get('foot') || '';
  }

  // The elements stay while only their texts change, so that a selection and the page below stay too.
  function drawFigures() {
    const facts = model.get('facts') || [];
    while (figures.children.length > facts.length) {
      figures.lastChild.remove();
    }
    facts.forEach((fact, index) => {
      let box = figures.children[index];
      if (!box) {
        box = element('div', '', figures);
        ['dt', 'dd', 'dd'].forEach(tag => element(tag, '', box));
      }
      box.dataset.level = fact.level || '';
      [fact.label, fact.value, fact.note].forEach((text, part) => {
        if (box.children[part].textContent !== (text || '')) {
          box.children[part].textContent = text || '';
        }
      });
    });
  }

  function drawShares() {
    const shares = (model.get('shares') || []).filter(one => one.value > 0);
    const whole = shares.reduce((sum, one) => sum + one.value, 0);
    bar.hidden = key.hidden = whole <= 0;
    bar.replaceChildren();
    key.replaceChildren();
    shares.forEach((one, index) => {
      const colour = SERIES[index % SERIES.length];
      const part = element('i', '', bar);
      part.style.cssText = `width:${(100 * one.value) / whole}%;background:${colour}`;
      part.title = `${one.name}: ${one.text}`;
      part.toggleAttribute('data-out', one.counted === false);
      const word = element('span', '', key);
      const box = element('i', '', word);
      box.style.background = colour;
      box.toggleAttribute('data-out', one.counted === false);
      word.append(`${one.name} ${one.text}`);
    });
    bar.setAttribute('role', 'img');
    bar.setAttribute('aria-label', `Time: ${shares.map(one => `${one.name} ${one.text}`).join(', ')}`);
  }

  function drawChart() {
    width = root.clientWidth || 760;
    shown = (model.get('series') || []).map(thinned);
    const target = model.get('target');
    const projection = model.get('projection');
    const ends = projection && projection.known ? [projection.low, projection.median, projection.high].filter(known) : [];
    const marks = (model.get('marks') || []).filter(mark => known(mark.x));
    const [seconds, log] = [model.get('x_unit') === 's', Boolean(model.get('x_log'))];
    const now = model.get('running') && known(model.get('now')) ? [model.get('now')] : [];
    const places = [shown.flatMap(one => one.x), ends, marks.map(mark => mark.x), seconds && !log ? [0] : [], now].flat();
    let [x0, x1] = range(log ? places.filter(x => x > 0) : places, 0);
    const heights = shown.flatMap(one => [one.y, one.lo || [], one.hi || []].flat()).filter(known);
    // Nothing yet: the target stands in what is still to be filled.
    const aim = !known(target) ? [] : heights.length > 0 ? [target] : [0, target];
    const [y0, y1] = range([...heights, ...aim], 0.06);
    const room = Math.max(3, Math.floor((width - LEFT) / 90));
    let labels = ticks(x0, x1, room).map(tick => [tick, number(tick)]);
    if (log) {
      labels = LOG_TICKS.filter(([tick]) => tick >= x0 && tick <= x1);
    } else if (seconds) {
      const step = CLOCK_STEPS.find(size => (x1 - x0) / size <= room) || ((x1 - x0) / room);
      // A whole number of steps, so that the axis moves seldom while the curve grows.
      x1 = model.get('running') ? Math.max(step, Math.ceil(x1 / step - 1e-9) * step) : x1;
      labels = span(x0, x1, step).map(tick => [tick, x1 > 120 ? clock(tick) : number(tick)]);
    }
    const scaled = value => (log ? Math.log(Math.max(value, x0)) : value);
    toX = value => LEFT + ((scaled(value) - scaled(x0)) / (scaled(x1) - scaled(x0))) * (width - LEFT - RIGHT);
    const toY = value => HEIGHT - BOTTOM - ((value - y0) / (y1 - y0)) * (HEIGHT - TOP - BOTTOM);
    svg.replaceChildren();
    svg.setAttribute('viewBox', `0 0 ${width} ${HEIGHT}`);
    svg.setAttribute('height', String(HEIGHT));
    const band = model.get('band');
    if (band) {
      draw('rect', { x: toX(band[0]), y: TOP, width: Math.max(0, toX(band[1]) - toX(band[0])), height: HEIGHT - TOP - BOTTOM,
        style: 'fill:var(--c-track)' }, svg);
    }
    for (const tick of ticks(y0, y1, 5)) {
      draw('line', { class: 'wb-c-grid', x1: LEFT, x2: width - RIGHT, y1: toY(tick), y2: toY(tick) }, svg);
      draw('text', { x: LEFT - 6, y: toY(tick) + 4, 'text-anchor': 'end' }, svg, number(tick));
    }
    for (const [tick, text] of labels) {
      draw('line', { class: 'wb-c-grid', x1: toX(tick), x2: toX(tick), y1: HEIGHT - BOTTOM, y2: HEIGHT - BOTTOM + 4 }, svg);
      draw('text', { x: toX(tick), y: HEIGHT - BOTTOM + 16, 'text-anchor': 'middle' }, svg, text);
    }
    // Grey first: what came before never covers what is now.
    shown.filter(one => one.old).forEach(one => drawLine(one, toY, 'wb-c-old', ''));
    const own = shown.filter(one => !one.old);
    own.forEach((one, index) => drawBand(one, toY, SERIES[index % SERIES.length]));
    own.forEach((one, index) => drawLine(one, toY, '', SERIES[index % SERIES.length]));
    if (known(target)) {
      draw('line', { class: 'wb-c-target', x1: LEFT, x2: width - RIGHT, y1: toY(target), y2: toY(target) }, svg);
    }
    for (const mark of marks) {
      draw('line', { class: 'wb-c-mark', x1: toX(mark.x), x2: toX(mark.x), y1: TOP, y2: HEIGHT - BOTTOM }, svg);
      const right = toX(mark.x) > width - RIGHT - 7 * String(mark.label || '').length;
      draw('text', { class: 'wb-c-strong', x: toX(mark.x) + (right ? -4 : 4), y: HEIGHT - BOTTOM - 6,
        'text-anchor': right ? 'end' : 'start' }, svg, mark.label || '');
    }
    if (known(target) && projection) {
      drawProjection(projection, toY(target), x1);
    }
    drawLegend(own, shown.filter(one => one.old).length);
    const unit = !seconds || log ? '' : x1 > 3600 ? ' (h:min:s)' : x1 > 120 ? ' (min:s)' : ' (s)';
    draw('text', { x: (width + LEFT) / 2, y: HEIGHT - 6, 'text-anchor': 'middle' }, svg, `${model.get('x_label') || ''}${unit}`);
    draw('text', { x: width - RIGHT, y: 15, 'text-anchor': 'end' }, svg, model.get('y_label') || '');
    over = draw('g', {}, svg);
    const wanted = known(target) ? `, target ${number(target)}` : '';
    svg.setAttribute('aria-label', `${model.get('y_label') || 'Curves'} against ${model.get('x_label') || 'x'}${wanted}: left ` +
      'and right arrow keys read the points');
    at = Math.min(at, points().length - 1);
    drawRead();
  }

  function drawBand(one, toY, colour) {
    if (!one.lo || !one.hi || one.x.length === 0) {
      return;
    }
    const good = one.x.map((_, i) => i).filter(i => known(one.lo[i]) && known(one.hi[i]));
    const edge = [...good.map(i => [one.x[i], one.hi[i]]), ...good.reverse().map(i => [one.x[i], one.lo[i]])];
    draw('polygon', { points: edge.map(([x, y]) => `${toX(x).toFixed(1)},${toY(y).toFixed(1)}`).join(' '),
      style: `fill:${colour};opacity:0.18` }, svg);
  }

  function drawLine(one, toY, className, colour) {
    let run = [];
    const flush = () => {
      if (run.length > 0) {
        const style = colour ? `fill:none;stroke:${colour};stroke-width:1.8;stroke-linejoin:round` : '';
        draw('polyline', { class: className, style, points: run.join(' ') }, svg);
      }
      run = [];
    };
    one.x.forEach((x, index) => {
      if (known(x) && known(one.y[index])) {
        run.push(`${toX(x).toFixed(1)},${toY(one.y[index]).toFixed(1)}`);
      } else {
        flush();
      }
    });
    flush();
    if (colour && one.x.length <= 60) {
      one.x.forEach((x, index) => {
        if (known(x) && known(one.y[index])) {
          draw('circle', { cx: toX(x).toFixed(1), cy: toY(one.y[index]).toFixed(1), r: 2.6, style: `fill:${colour}` }, svg);
        }
      });
    }
  }

  // A bar on the target line from low to high, open on the right where it may never come.
  function drawProjection(projection, y, end) {
    let place = LEFT + 6;
    if (projection.known && known(projection.low)) {
      const [left, right] = [toX(projection.low), toX(known(projection.high) ? projection.high : end)];
      draw('rect', { class: 'wb-c-bar', x: left, y: y - 5, width: Math.max(3, right - left), height: 10, rx: 3 }, svg);
      if (known(projection.median)) {
        draw('line', { class: 'wb-c-middle', x1: toX(projection.median), x2: toX(projection.median), y1: y - 7, y2: y + 7 }, svg);
      }
      place = left;
    }
    const text = projection.text || '';
    const room = 6.1 * text.length;
    const below = y < TOP + 26;
    draw('text', { class: 'wb-c-aim', x: Math.max(LEFT + 4, Math.min(place, width - RIGHT - room)), y: below ? y + 20 : y - 11 },
      svg, text);
  }

  function drawLegend(own, olds) {
    let place = LEFT;
    const words = own.length > 1 || olds > 0 ? own.slice(0, 8).map((one, index) => [one.name, SERIES[index % SERIES.length]]) : [];
    if (own.length > 8) {
      words.push([`and ${own.length - 8} more`, 'none']);
    }
    if (olds > 0) {
      words.push([`${olds} ${own.length > 0 || model.get('running') ? 'earlier ' : ''}run${olds === 1 ? '' : 's'}`, 'var(--c-muted)']);
    }
    for (const [name, colour] of words) {
      if (place + 24 + 6.2 * name.length > width - RIGHT - 6.2 * (model.get('y_label') || '').length) {
        break;
      }
      draw('rect', { x: place, y: 7, width: 10, height: 10, rx: 2, style: `fill:${colour}` }, svg);
      draw('text', { class: 'wb-c-strong', x: place + 14, y: 16 }, svg, name);
      place += 30 + 6.2 * name.length;
    }
  }

  // ------------------------------------------------------------------------------------------------- reading the points

  function points() {
    const one = shown.find(each => !each.old);
    return one ? one.x.map((x, index) => [x, one.y[index], index, one]).filter(([x, y]) => known(x) && known(y)) : [];
  }

  function drawRead() {
    over?.replaceChildren();
    const all = points();
    if (at < 0 || !all[at]) {
      read.textContent = '';
      return;
    }
    const [x, y, index, one] = all[at];
    const seconds = model.get('x_unit') === 's';
    const error = one.hi && known(one.hi[index]) ? ` \u00b1 ${number(one.hi[index] - y, 2)}` : '';
    const place = seconds && x >= 60 ? clock(x, x < 600 ? 1 : 0) : `${number(x)}${seconds ? ' s' : ''}`;
    const label = one.labels && one.labels[index] ? `, ${one.labels[index]}` : '';
    read.textContent = `${model.get('y_label') || one.name} ${number(y)}${error} at ${place}${label}`;
    draw('line', { class: 'wb-c-hover', x1: toX(x), x2: toX(x), y1: TOP, y2: HEIGHT - BOTTOM }, over);
  }

  function moved(event) {
    const all = points();
    const x = event.clientX - svg.getBoundingClientRect().left;
    let best = -1;
    all.forEach(([place], index) => {
      best = best < 0 || Math.abs(toX(place) - x) < Math.abs(toX(all[best][0]) - x) ? index : best;
    });
    if (best !== at) {
      at = best;
      drawRead();
    }
  }

  function left() {
    at = -1;
    drawRead();
  }

  function pressed(event) {
    const last = points().length - 1;
    const steps = { ArrowLeft: () => (at < 0 ? last : Math.max(0, at - 1)), ArrowRight: () => Math.min(last, at + 1),
      Home: () => 0, End: () => last, Escape: () => -1 };
    if (!Object.hasOwn(steps, event.key) || event.ctrlKey || event.metaKey || event.altKey) {
      return;
    }
    at = steps[event.key]();
    read.setAttribute('role', 'status');
    drawRead();
    event.preventDefault();
    event.stopPropagation();
  }

  function askToStop() {
    model.set('stopping', true);
    model.save_changes();
    drawHead();
  }

  // Several values come with one message: one drawing for all of them.
  const due = new Set();
  const later = part => () => {
    due.add(part);
    if (frame === null) {
      frame = requestAnimationFrame(() => {
        frame = null;
        [...due].forEach(one => one());
        due.clear();
        root.dataset.drawn = String(Number(root.dataset.drawn || 0) + 1);
      });
    }
  };
  const watched = [
    ...CHART.map(name => [name, later(drawChart)]), ['now', later(drawChart)], ['facts', later(drawFigures)],
    ['shares', later(drawShares)], ['foot', later(drawFoot)], ...['title', 'status', 'running', 'stopping'].map(name => [name, later(drawHead)])
  ];
  watched.forEach(([name, tell]) => model.on(`change:${name}`, tell));
  const listeners = [['pointermove', moved], ['pointerleave', left], ['keydown', pressed], ['blur', left]];
  listeners.forEach(([name, tell]) => svg.addEventListener(name, tell));
  stop.addEventListener('click', askToStop);
  [drawHead, drawFigures, drawShares, drawFoot, drawChart].forEach(one => one());
  // The first drawing may come before the element has a width.
  const sizes = new ResizeObserver(() => {
    if (root.clientWidth > 0 && root.clientWidth !== width) {
      drawChart();
    }
  });
  sizes.observe(root);
  return () => {
    sizes.disconnect();
    if (frame !== null) {
      cancelAnimationFrame(frame);
    }
    watched.forEach(([name, tell]) => model.off(`change:${name}`, tell));
    listeners.forEach(([name, tell]) => svg.removeEventListener(name, tell));
    stop.removeEventListener('click', askToStop);
    root.remove();
  };
}

export default { render };
