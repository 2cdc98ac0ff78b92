// Who did what when: one lane per worker, a bar per operation. Kinds differ by colour, and by hatch and height as well.
// Left and right go from bar to bar in a lane, up and down to the next lane. An anywidget module: no imports.

const STYLE = `
.wb-gantt { font: 12px/1.4 var(--jp-ui-font-family, system-ui, sans-serif); color: var(--jp-ui-font-color1, inherit);
  position: relative; }
.wb-gantt svg { display: block; width: 100%; border-radius: 3px; outline-offset: 2px; }
.wb-gantt svg:focus { outline: none; }
.wb-gantt svg:focus-visible { outline: 2px solid var(--jp-brand-color1, #1976d2); }
.wb-gantt text { fill: var(--jp-ui-font-color1, currentColor); font-size: 11px; }
.wb-gantt .wb-ground { fill: var(--jp-layout-color2, #8882); }
.wb-gantt .wb-tick { stroke: var(--jp-border-color1, GrayText); }
.wb-gantt .wb-on { fill: none; stroke: var(--jp-ui-font-color1, currentColor); stroke-width: 2;
  pointer-events: none; }
.wb-gantt-status { min-height: 1.4em; margin-top: 3px; color: var(--jp-ui-font-color2, GrayText);
  font-variant-numeric: tabular-nums; white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
`;

const NAMESPACE = 'http://www.w3.org/2000/svg';
const COLOURS = [
  'var(--jp-brand-color1, #1976d2)', '#c26a00', '#35863a', '#a35cc4', '#d64545', '#15858f', '#8a7300', '#c2528b'
];
const IDLE = 'var(--jp-ui-font-color3, #8888)';
const FLAG = 'var(--jp-warn-color1, #c26a00)';
const [LANE, AXIS, LEGEND, LABELS, CHARACTER, MOST] = [22, 18, 18, 130, 7, 2000];
const WATCHED = ['lanes', 'bars', 'kinds', 'unit'];
let made = 0;

function draw(tag, attributes, parent) {
  const shape = document.createElementNS(NAMESPACE, tag);
  for (const [name, value] of Object.entries(attributes)) {
    shape.setAttribute(name, String(value));
  }
  parent.append(shape);
  return shape;
}

function roundStep(span, most) {
  const raw = Math.max(span / Math.max(most, 1), 1e-9);
  const base = 10 ** Math.floor(Math.log10(raw));
  return [1, 2, 5, 10].map(factor => factor * base).find(step => step >= raw * 0.999);
}

function short(value) {
  return Number(value.toPrecision(4)).toLocaleString('en-US', { maximumFractionDigits: 3 });
}

function render({ model, el }) {
  const root = document.createElement('div');
  root.className = 'wb-gantt';
  root.dataset.lmSuppressShortcuts = 'true'; // else JupyterLab takes the keys first
  const style = document.createElement('style');
  style.textContent = STYLE;
  const svg = document.createElementNS(NAMESPACE, 'svg');
  svg.setAttribute('tabindex', '0');
  svg.setAttribute('role', 'application');
  const status = document.createElement('div');
  status.className = 'wb-gantt-status';
  root.append(style, svg, status);
  el.append(root);
  const prefix = `wb-gantt-${made++}`;

  let shown = [];
  let shapes = [];
  let on = -1;
  let drawn = 0; // px wide
  let told = null; // the bar that the line below is about: it stays, as long as it is drawn

  const lanes = () => model.get('lanes') || [];
  const kinds = () => model.get('kinds') || [];

  function drawAll() {
    const width = drawn = root.clientWidth || 640;
    const left = Math.min(LABELS, width / 4);
    const rows = lanes();
    const chosen = shown[on];
    shown = (model.get('bars') || []).slice(-MOST);
    const unit = model.get('unit') ? ` ${model.get('unit')}` : '';
    svg.replaceChildren();
    svg.setAttribute('aria-label',
      `Gantt chart: ${shown.length} bars on ${rows.length} lanes; arrow keys go from bar to bar`);
    const low = shown.reduce((least, bar) => Math.min(least, bar.start), Infinity);
    const high = shown.reduce((most, bar) => Math.max(most, bar.end), -Infinity);
    const span = high > low ? high - low : 1;
    const toX = time => left + ((time - low) / span) * (width - left - 4);
    const looks = new Map();
    const defs = draw('defs', {}, svg);
    let [place, line] = [left, 4];
    kinds().forEach((kind, index) => {
      const colour = kind.role === 'idle' ? IDLE : kind.role === 'flag' ? FLAG : COLOURS[index % COLOURS.length];
      let fill = colour;
      if (kind.hatch) {
        const id = `${prefix}-${index}`;
        const pattern = draw('pattern', { id, width: 5, height: 5, patternUnits: 'userSpaceOnUse',
          patternTransform: 'rotate(45)' }, defs);
        draw('line', { x1: 0, y1: 0, x2: 0, y2: 5, style: `stroke:${colour}`, 'stroke-width': 4 }, pattern);
        fill = `url(#${id})`;
      }
      const look = { fill, colour, part: kind.part || '', least: kind.role === 'flag' ? 3 : 1 };
      looks.set(kind.kind, look);
      if (kind.rare && !shown.some(bar => bar.kind === kind.kind)) {
        return;
      }
      const name = kind.label || kind.kind;
      const wide = 30 + 6.2 * name.length;
      if (place > left && place + wide > width) {
        [place, line] = [left, line + LEGEND];
      }
      box(svg, look, place, line, 12, 12);
      draw('text', { x: place + 16, y: line + 10 }, svg).textContent = name;
      place += wide;
    });
    const top = line + 20;
    const bottom = top + rows.length * LANE;
    svg.setAttribute('viewBox', `0 0 ${width} ${bottom + AXIS}`);
    svg.setAttribute('height', String(bottom + AXIS));
    const rowOf = new Map(rows.map((row, index) => [row.id, index]));
    rows.forEach((row, index) => {
      const label = draw('text', { x: 0, y: top + index * LANE + 15 }, svg);
      label.textContent = row.label.length > 20 ? `${row.label.slice(0, 19)}\u2026` : row.label;
      draw('title', {}, label).textContent = row.label;
      draw('rect', { class: 'wb-ground', x: left, y: top + index * LANE + 2, width: Math.max(width - left - 4, 1),
        height: LANE - 4 }, svg);
    });
    shapes = shown.map((bar, index) => {
      const look = looks.get(bar.kind) || { fill: COLOURS[0], colour: COLOURS[0], part: '', least: 1 };
      const y = top + (rowOf.get(bar.lane) || 0) * LANE + 2;
      const shape = box(svg, look, toX(bar.start), y, Math.max(toX(bar.end) - toX(bar.start), look.least), LANE - 4);
      shape.dataset.kind = bar.kind || '';
      shape.dataset.bar = String(index);
      draw('title', {}, shape).textContent = bar.label || '';
      return shape;
    });
    if (shown.length > 0) {
      const step = roundStep(span, Math.max(2, Math.floor((width - left) / 80)));
      for (let tick = Math.ceil(low / step - 1e-9) * step; tick <= high + 1e-9 * span; tick += step) {
        const x = toX(tick);
        draw('line', { class: 'wb-tick', x1: x, x2: x, y1: bottom, y2: bottom + 4 }, svg);
        const text = short(tick) + unit;
        if (x + 4 + CHARACTER * text.length < width) {
          draw('text', { x: x + 2, y: bottom + 14 }, svg).textContent = text;
        }
      }
    }
    on = shown.indexOf(again(chosen));
    frame();
    status.setAttribute('aria-live', 'off'); // what only goes on is not read out
    const still = again(told);
    if (still) {
      say(still);
    } else {
      told = null;
      status.textContent = shown.length ? `${short(span)}${unit} shown` : 'No operations yet.';
    }
  }

  // A frame of its own around the chosen bar: an outline of the bar would be under the next one.
  function frame() {
    svg.querySelector('.wb-on')?.remove();
    if (shapes[on]) {
      const place = ['x', 'y', 'width', 'height'].map(name => [name, shapes[on].getAttribute(name)]);
      draw('rect', { class: 'wb-on', ...Object.fromEntries(place) }, svg);
    }
  }

  // The bar that was drawn before, among those of now: its times count from another moment while work goes on.
  function again(bar) {
    const alike = bar ? shown.filter(each => each.lane === bar.lane && each.label === bar.label) : [];
    return alike.find(each => each.start === bar.start) || alike[0];
  }

  function box(parent, look, x, y, width, height) {
    const half = height / 2;
    const top = { upper: y, middle: y + half / 2, lower: y + half }[look.part] ?? y;
    const tall = look.part ? half : height;
    return draw('rect', { x, y: top, width, height: tall, style: `fill:${look.fill};stroke:${look.colour}`,
      'stroke-width': look.fill === look.colour ? 0 : 0.7 }, parent);
  }

  function say(bar) {
    told = bar;
    const unit = model.get('unit') || '';
    const lane = lanes().find(row => row.id === bar.lane);
    status.textContent = [lane?.label, bar.label, `from ${short(bar.start)} ${unit}`].filter(Boolean).join(' | ');
  }

  function choose(index) {
    on = index;
    frame();
    status.setAttribute('aria-live', 'polite');
    say(shown[on]);
  }

  function hover(event) {
    const bar = shown[event.target.dataset?.bar];
    if (bar) {
      say(bar);
    }
  }

  function pressed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) {
      return;
    }
    const order = lanes().map(row => row.id);
    const current = shown[on];
    const inLane = lane => shown.map((bar, index) => [bar, index]).filter(([bar]) => bar.lane === lane)
      .sort((a, b) => a[0].start - b[0].start);
    let target;
    if (['ArrowLeft', 'ArrowRight', 'Home', 'End'].includes(event.key)) {
      const lane = inLane(current ? current.lane : order[0]);
      const at = lane.findIndex(([, index]) => index === on);
      const next = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: lane.length - 1 }[event.key];
      target = lane[Math.min(Math.max(next, 0), lane.length - 1)];
    } else if (event.key === 'ArrowUp' || event.key === 'ArrowDown') {
      const at = order.indexOf(current ? current.lane : order[0]) + (event.key === 'ArrowDown' ? 1 : -1);
      const lane = inLane(order[Math.min(Math.max(at, 0), order.length - 1)]);
      target = lane.find(([bar]) => !current || bar.end >= current.start) || lane[lane.length - 1];
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
    if (target) {
      choose(target[1]);
    }
  }

  svg.addEventListener('keydown', pressed);
  svg.addEventListener('mouseover', hover);
  const watch = new ResizeObserver(() => root.clientWidth !== drawn && drawAll());
  watch.observe(root);
  for (const name of WATCHED) {
    model.on(`change:${name}`, drawAll);
  }
  drawAll();
  return () => {
    watch.disconnect();
    svg.removeEventListener('keydown', pressed);
    svg.removeEventListener('mouseover', hover);
    for (const name of WATCHED) {
      model.off(`change:${name}`, drawAll);
    }
    root.remove();
  };
}

export default { render };
