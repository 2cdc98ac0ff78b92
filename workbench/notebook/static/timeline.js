// What was found when: one lane per row, a bar per event, grey where it was searched, hatched where it was skipped.
// Click moves the shared `time`, drag selects a span. An anywidget module: no imports, cleans up after itself.

const STYLE = `
.wb-timeline { font: 12px/1.4 var(--jp-ui-font-family, system-ui, sans-serif); color: var(--jp-ui-font-color1, inherit);
  position: relative; user-select: none; }
.wb-timeline svg { display: block; width: 100%; cursor: pointer; border-radius: 3px; outline-offset: 1px; }
.wb-timeline svg:focus { outline: none; }
.wb-timeline svg:focus-visible { outline: 2px solid var(--jp-brand-color1, #1976d2); }
.wb-timeline text { fill: var(--jp-ui-font-color1, currentColor); font-size: 11px; }
.wb-timeline .wb-ground { fill: var(--jp-layout-color2, #8882); }
.wb-timeline .wb-searched { fill: var(--jp-border-color2, #8886); }
.wb-timeline .wb-bar { fill: var(--jp-brand-color1, #1976d2); stroke: var(--jp-layout-color1, Canvas); stroke-width: 0.5; }
.wb-timeline .wb-bar[data-kind="error"] { fill: var(--jp-error-color1, #c62828); }
.wb-timeline .wb-bar[data-kind="warning"], .wb-timeline .wb-bar[data-kind="partial"] { fill: var(--jp-warn-color1, #b26a00); }
.wb-timeline .wb-bar[data-on] { fill: var(--jp-success-color1, #2e7d32); }
.wb-timeline .wb-selected { fill: var(--jp-brand-color1, #1976d2); fill-opacity: 0.18; }
.wb-timeline .wb-now { stroke: var(--jp-error-color1, #c62828); stroke-width: 2; }
.wb-timeline .wb-tick { stroke: var(--jp-border-color1, GrayText); }
.wb-timeline .wb-hatch { stroke: var(--jp-ui-font-color2, GrayText); stroke-width: 1.5; }
.wb-timeline-status { min-height: 1.4em; color: var(--jp-ui-font-color2, GrayText); font-variant-numeric: tabular-nums; }
`;

const NAMESPACE = 'http://www.w3.org/2000/svg';
const [LANE, AXIS, TOP, LABELS] = [18, 18, 4, 110];
const WATCHED = ['lanes', 'bars', 'duration', 'searched', 'skipped'];
let made = 0;

function clock(seconds, digits = 0) {
  const whole = Math.max(0, seconds);
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60)];
  const rest = (whole % 60).toFixed(digits).padStart(digits ? digits + 3 : 2, '0');
  const head = hours > 0 ? `${hours}:${String(minutes).padStart(2, '0')}` : String(minutes).padStart(2, '0');
  return `${head}:${rest}`;
}

// A round step of time so that at most `most` ticks fit.
function tickStep(duration, most) {
  const steps = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400];
  return steps.find(step => duration / step <= most) || Math.ceil(duration / most / 86400) * 86400;
}

function draw(tag, attributes, parent) {
  const shape = document.createElementNS(NAMESPACE, tag);
  for (const [name, value] of Object.entries(attributes)) {
    shape.setAttribute(name, String(value));
  }
  parent.append(shape);
  return shape;
}

function render({ model, el }) {
  const root = document.createElement('div');
  root.className = 'wb-timeline';
  root.dataset.lmSuppressShortcuts = 'true'; // else JupyterLab takes the keys first
  const style = document.createElement('style');
  style.textContent = STYLE;
  const svg = document.createElementNS(NAMESPACE, 'svg');
  svg.setAttribute('tabindex', '0');
  svg.setAttribute('role', 'slider');
  svg.setAttribute('aria-label', 'Timeline: left and right move, [ and ] go to the previous and next hit');
  const status = document.createElement('div');
  status.className = 'wb-timeline-status';
  root.append(style, svg, status);
  el.append(root);
  const hatch = `wb-hatch-${made++}`;

  let [width, left, now, span] = [0, 0, null, null];
  let shapes = [];
  let drag = null;

  const duration = () => Math.max(Number(model.get('duration')) || 0, 1e-9);
  const bars = () => model.get('bars') || [];
  const lanes = () => {
    const known = model.get('lanes') || [];
    return known.length > 0 ? known : [{ id: null, label: '' }];
  };
  const toX = time => left + (Math.min(Math.max(time, 0), duration()) / duration()) * (width - left - 1);
  const toTime = x => Math.min(Math.max((x - left) / (width - left - 1), 0), 1) * duration();

  function drawAll() {
    width = root.clientWidth || 640;
    const rows = lanes();
    left = rows.some(row => row.label) ? Math.min(LABELS, width / 4) : 0;
    const bottom = TOP + rows.length * LANE;
    svg.replaceChildren();
    shapes = [];
    svg.setAttribute('viewBox', `0 0 ${width} ${bottom + AXIS}`);
    svg.setAttribute('height', String(bottom + AXIS));
    const pattern = draw('pattern', { id: hatch, width: 6, height: 6, patternUnits: 'userSpaceOnUse',
      patternTransform: 'rotate(45)' }, draw('defs', {}, svg));
    draw('line', { x1: 0, y1: 0, x2: 0, y2: 6, class: 'wb-hatch' }, pattern);
    const place = (start, end) => ({ x: toX(start), width: Math.max(toX(end) - toX(start), 1) });
    const whole = { y: TOP, height: bottom - TOP };
    draw('rect', { class: 'wb-ground', ...whole, x: left, width: Math.max(width - left, 1) }, svg);
    for (const [start, end] of model.get('searched') || []) {
      draw('rect', { class: 'wb-searched', ...whole, ...place(start, end) }, svg);
    }
    for (const [start, end] of model.get('skipped') || []) {
      draw('rect', { fill: `url(#${hatch})`, class: 'wb-skipped', ...whole, ...place(start, end) }, svg);
    }
    drawAxis(bottom);
    const rowOf = new Map(rows.map((row, index) => [row.id, index]));
    const letters = Math.floor((17 * left) / LABELS);
    rows.forEach((row, index) => {
      if (row.label) {
        const label = draw('text', { x: 0, y: TOP + index * LANE + 13 }, svg);
        label.textContent = row.label.length > letters ? `${row.label.slice(0, letters - 1)}\u2026` : row.label;
        draw('title', {}, label).textContent = row.label;
      }
    });
    for (const bar of bars()) {
      const row = rowOf.get(bar.lane) || 0;
      const size = place(bar.start, bar.end);
      size.width = Math.max(size.width, 3);
      const shape = draw('rect', { class: 'wb-bar', rx: 2, y: TOP + row * LANE + 2, height: LANE - 4, ...size }, svg);
      shape.dataset.kind = bar.kind || '';
      draw('title', {}, shape).textContent = sentence(bar);
      shapes.push(shape);
    }
    span = draw('rect', { class: 'wb-selected', ...whole, width: 0 }, svg);
    now = draw('line', { class: 'wb-now', y1: 0, y2: bottom }, svg);
    drawNow();
    drawSpan();
  }

  function drawAxis(bottom) {
    const step = tickStep(duration(), Math.max(2, Math.floor((width - left) / 70)));
    const digits = step < 1 ? 1 : 0;
    for (let index = 0; index * step <= duration() + 1e-9; index++) {
      const x = toX(index * step);
      draw('line', { class: 'wb-tick', x1: x, x2: x, y1: bottom, y2: bottom + 4 }, svg);
      if (x < width - 30 || index === 0) {
        draw('text', { x: x + 2, y: bottom + 14 }, svg).textContent = clock(index * step, digits);
      }
    }
  }

  function sentence(bar) {
    const label = bar.label ? `${bar.label}, ` : '';
    return `${label}${clock(bar.start, 1)} to ${clock(bar.end, 1)}`;
  }

  function drawNow() {
    const time = Number(model.get('time')) || 0;
    now.setAttribute('x1', toX(time));
    now.setAttribute('x2', toX(time));
    const on = [];
    bars().forEach((bar, index) => {
      const within = bar.start <= time + 1e-6 && time < bar.end;
      if (within) {
        on.push(bar);
      }
      shapes[index]?.toggleAttribute('data-on', within);
    });
    svg.setAttribute('aria-valuemin', '0');
    svg.setAttribute('aria-valuemax', String(duration()));
    svg.setAttribute('aria-valuenow', String(time));
    const text = `${clock(time, 2)} of ${clock(duration())}`;
    svg.setAttribute('aria-valuetext', on.length ? `${text}, ${on[0].label || 'a hit'}` : text);
    status.textContent = [text, ...on.slice(0, 3).map(sentence)].join(' | ') +
      (on.length > 3 ? ` | and ${on.length - 3} more` : '');
  }

  function drawSpan() {
    const chosen = model.get('selected');
    span.setAttribute('x', chosen ? toX(chosen[0]) : 0);
    span.setAttribute('width', chosen ? Math.max(toX(chosen[1]) - toX(chosen[0]), 1) : 0);
  }

  function moveTo(time) {
    model.set('time', Math.min(Math.max(time, 0), duration()));
    model.save_changes();
  }

  function select(chosen) {
    model.set('selected', chosen);
    model.save_changes();
  }

  // Starts of hits, in order, each once.
  const starts = () => [...new Set(bars().map(bar => bar.start))].sort((a, b) => a - b);

  function pressed(event) {
    const time = Number(model.get('time')) || 0;
    const step = event.shiftKey ? duration() / 10 : Math.min(1, duration() / 100);
    const steps = {
      ArrowLeft: () => time - step,
      ArrowRight: () => time + step,
      Home: () => 0,
      End: () => duration(),
      '[': () => starts().filter(start => start < time - 0.05).pop(),
      ']': () => starts().find(start => start > time + 0.05)
    };
    if (event.key === 'Escape' && model.get('selected')) {
      select(null);
    } else if (Object.hasOwn(steps, event.key) && !event.ctrlKey && !event.metaKey && !event.altKey) {
      const target = steps[event.key]();
      if (target !== undefined) {
        moveTo(target);
      }
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  }

  const pointX = event => event.clientX - svg.getBoundingClientRect().left;

  function down(event) {
    if (event.button === 0) {
      svg.setPointerCapture(event.pointerId);
      drag = { x: pointX(event), bar: bars()[shapes.indexOf(event.target)], moved: false };
    }
  }

  function move(event) {
    if (drag !== null && (drag.moved || Math.abs(pointX(event) - drag.x) > 4)) {
      drag.moved = true;
      const ends = [toTime(drag.x), toTime(pointX(event))].sort((a, b) => a - b);
      select(ends);
    }
  }

  function up(event) {
    if (drag === null) {
      return;
    }
    const { bar, x, moved } = drag;
    drag = null;
    if (moved) {
      moveTo(model.get('selected')[0]);
    } else if (bar) {
      select([bar.start, bar.end]);
      // On a bar that is drawn wider than it is long, the click still means that bar.
      moveTo(Math.min(Math.max(toTime(x), bar.start), Math.max(bar.start, bar.end - 1e-3)));
    } else {
      select(null);
      moveTo(toTime(pointX(event)));
    }
  }

  const lost = () => {
    drag = null;
  };
  const listeners = [['keydown', pressed], ['pointerdown', down], ['pointermove', move], ['pointerup', up],
    ['pointercancel', lost]];
  listeners.forEach(([name, listener]) => svg.addEventListener(name, listener));
  WATCHED.forEach(name => model.on(`change:${name}`, drawAll));
  model.on('change:time', drawNow);
  model.on('change:selected', drawSpan);
  drawAll();
  // The first drawing may come before the element has a width.
  const sizes = new ResizeObserver(() => {
    if (root.clientWidth > 0 && root.clientWidth !== width) {
      drawAll();
    }
  });
  sizes.observe(root);
  return () => {
    sizes.disconnect();
    listeners.forEach(([name, listener]) => svg.removeEventListener(name, listener));
    WATCHED.forEach(name => model.off(`change:${name}`, drawAll));
    model.off('change:time', drawNow);
    model.off('change:selected', drawSpan);
    root.remove();
  };
}

export default { render };
