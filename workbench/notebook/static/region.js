// A frame to draw a region or a line on: corners by mouse or by keys, and the code that stands for them.
// An anywidget module: no imports, cleans up after itself. Corners are px of the source.

const STYLE = `
.wb-region { font: 13px/1.4 var(--jp-ui-font-family, system-ui, sans-serif); color: var(--jp-ui-font-color1, inherit);
  padding: 3px; } /* room for the ring of what has the focus, which an output cuts off */
.wb-region svg { display: block; width: 100%; height: auto; touch-action: none; cursor: crosshair; user-select: none; }
.wb-region svg:focus { outline: none; }
.wb-region svg:focus-visible { outline: 2px solid var(--jp-brand-color1, #1976d2); outline-offset: 1px; }
.wb-region-fill { fill: #1976d2; fill-opacity: 0.25; }
.wb-region-fill, .wb-region-under, .wb-region-line { pointer-events: none; }
.wb-region-under, .wb-region-line { fill: none; vector-effect: non-scaling-stroke; stroke-linejoin: round; }
.wb-region-under { stroke: #000; stroke-opacity: 0.7; stroke-width: 4; }
.wb-region-line { stroke: #fff; stroke-width: 2; }
.wb-region-corner { fill: #fff; stroke: #000; stroke-width: 1.5; vector-effect: non-scaling-stroke; cursor: move; }
.wb-region-corner[data-chosen] { fill: #ffd54f; stroke-width: 3; }
.wb-region svg:not(:focus) .wb-region-cross, .wb-region svg:not([data-keys]) .wb-region-cross { display: none; }
.wb-region-bar { display: flex; flex-wrap: wrap; gap: 6px; align-items: center; margin-top: 6px; }
.wb-region-bar input { width: 10em; }
.wb-region-bar input, .wb-region-bar button { font: inherit; color: inherit; border-radius: 3px; padding: 2px 8px;
  background: var(--jp-layout-color1, Canvas); border: 1px solid var(--jp-border-color1, GrayText); }
.wb-region-bar button:disabled { opacity: 0.5; }
.wb-region-bar :focus-visible { outline: 2px solid var(--jp-brand-color1, #1976d2); }
.wb-region-code { display: block; margin-top: 6px; padding: 4px 8px; overflow-wrap: anywhere; border-radius: 3px;
  font-family: var(--jp-code-font-family, monospace); background: var(--jp-layout-color2, #8882); user-select: all; }
.wb-region-status { min-height: 1.4em; color: var(--jp-ui-font-color2, GrayText); font-variant-numeric: tabular-nums; }
`;

const NAMESPACE = 'http://www.w3.org/2000/svg';
const MOUSE = 'Click to set corners, drag one to move it: two are a line, more a region';
const KEYS = 'Arrows move the cross, with Shift by one pixel; Enter sets a corner; [ and ] choose one; Delete removes it';
const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

function shape(tag, name, parent) {
  const made = document.createElementNS(NAMESPACE, tag);
  made.setAttribute('class', name);
  parent.append(made);
  return made;
}

function part(tag, name, parent, text = '') {
  const made = document.createElement(tag);
  made.className = name;
  made.textContent = text;
  parent.append(made);
  return made;
}

function codeOf(name, points) {
  const corners = points.map(([x, y]) => `(${Math.round(x)}, ${Math.round(y)})`).join(', ');
  return `${name} = ${points.length === 2 ? 'Line' : 'Region'}(${corners})`;
}

// Whether the sides of a polygon cross: of a polygon that can be a region, none do.
function crossesItself(points) {
  const side = ([ax, ay], [bx, by], [x, y]) => Math.sign((bx - ax) * (y - ay) - (by - ay) * (x - ax));
  const sides = points.map((point, index) => [point, points[(index + 1) % points.length]]);
  return sides.some(([a, b], one) => sides.some(([c, d], other) => {
    const apart = Math.abs(one - other);
    return apart > 1 && apart < sides.length - 1 && side(a, b, c) !== side(a, b, d) && side(c, d, a) !== side(c, d, b);
  }));
}

function render({ model, el }) {
  const root = part('div', 'wb-region', el);
  root.dataset.lmSuppressShortcuts = 'true'; // else JupyterLab takes the keys first
  part('style', '', root, STYLE);
  const [width, height] = [Number(model.get('width')) || 1, Number(model.get('height')) || 1];
  const unit = width / 640; // of marks, so that they are as large in every picture
  const svg = shape('svg', '', root);
  svg.setAttribute('viewBox', `0 0 ${width} ${height}`);
  svg.style.maxWidth = `${Math.min(width, 960)}px`;
  svg.setAttribute('tabindex', '0');
  svg.setAttribute('role', 'application');
  svg.setAttribute('aria-label', `Draw ${model.get('name')} on the frame. ${MOUSE}. ${KEYS}.`);
  const picture = shape('image', '', svg);
  picture.setAttribute('width', String(width));
  picture.setAttribute('height', String(height));
  picture.setAttribute('href', String(model.get('asset') || ''));
  const [fill, under, line] = ['fill', 'under', 'line'].map(name => shape('path', `wb-region-${name}`, svg));
  const corners = shape('g', '', svg);
  const cross = shape('g', 'wb-region-cross', svg);
  const arms = ['under', 'line'].map(name => shape('path', `wb-region-${name}`, cross));

  const bar = part('div', 'wb-region-bar', root);
  const label = part('label', '', bar, 'Name ');
  const field = part('input', '', label);
  field.value = String(model.get('name'));
  const [undo, clear, copy] = ['Undo', 'Clear', 'Copy code'].map(text => part('button', '', bar, text));
  const code = part('code', 'wb-region-code', root);
  const status = part('div', 'wb-region-status', root);
  status.setAttribute('role', 'status');

  let [cursor, chosen, drag] = [[Math.round(width / 2), Math.round(height / 2)], null, false];
  const points = () => model.get('points') || [];
  const inside = ([x, y]) => [Math.min(Math.max(Math.round(x), 0), width), Math.min(Math.max(Math.round(y), 0), height)];

  function drawAll() {
    const all = points();
    const path = all.map(([x, y], index) => `${index ? 'L' : 'M'}${x} ${y}`).join('') + (all.length > 2 ? 'Z' : '');
    fill.setAttribute('d', all.length > 2 ? path : '');
    [under, line].forEach(outline => outline.setAttribute('d', path));
    corners.replaceChildren();
    all.forEach(([x, y], index) => {
      const corner = shape('circle', 'wb-region-corner', corners);
      corner.setAttribute('cx', String(x));
      corner.setAttribute('cy', String(y));
      corner.setAttribute('r', String(6 * unit));
      corner.toggleAttribute('data-chosen', index === chosen);
    });
    const [x, y] = cursor;
    const reach = 12 * unit;
    // a corner that is chosen shows where it is: the cross would hide it
    const arrow = chosen === null ? `M${x - reach} ${y}H${x + reach}M${x} ${y - reach}V${y + reach}` : '';
    arms.forEach(arm => arm.setAttribute('d', arrow));
    code.textContent = codeOf(model.get('name'), all);
    [undo, clear].forEach(button => { button.disabled = all.length === 0; });
    copy.disabled = all.length < 2;
  }

  function say(what) {
    const all = points();
    const crossing = all.length > 3 && crossesItself(all) ? ' The outline crosses itself.' : '';
    const count = all.length === 1 ? '1 corner' : `${all.length} corners`;
    status.textContent = `${what} ${count}${all.length === 2 ? ', a line' : ''}.${crossing}`;
  }

  function change(all, what) {
    model.set('points', all);
    model.set('code', codeOf(model.get('name'), all));
    model.save_changes();
    drawAll();
    say(what);
  }

  function add(place) {
    const at = chosen === null ? points().length : chosen + 1; // behind the one that is chosen
    cursor = inside(place);
    chosen = chosen === null ? null : at;
    change([...points().slice(0, at), cursor, ...points().slice(at)], `Corner at ${cursor.join(', ')}.`);
  }

  function moveTo(place) {
    cursor = inside(place);
    if (chosen === null) {
      drawAll();
      say(`Cross at ${cursor.join(', ')}.`);
    } else {
      change(points().map((point, index) => (index === chosen ? cursor : point)), `Moved to ${cursor.join(', ')}.`);
    }
  }

  function choose(index) {
    chosen = index;
    cursor = index === null ? cursor : inside(points()[index]);
    drawAll();
    say(index === null ? 'None chosen.' : `Corner ${index + 1} at ${cursor.join(', ')}.`);
  }

  function remove(index) {
    const all = points().filter((_, place) => place !== index);
    chosen = chosen === null || all.length === 0 ? null : Math.min(chosen, all.length - 1);
    change(all, 'Corner removed.');
  }

  function pressed(event) {
    const count = points().length;
    svg.toggleAttribute('data-keys', true);
    if (event.ctrlKey || event.metaKey || event.altKey) {
      return;
    }
    if (Object.hasOwn(MOVES, event.key)) {
      const [step, [x, y]] = [event.shiftKey ? 1 : 10, MOVES[event.key]];
      moveTo([cursor[0] + step * x, cursor[1] + step * y]);
    } else if (event.key === 'Enter') {
      add(cursor);
    } else if ((event.key === '[' || event.key === ']') && count > 0) {
      const by = event.key === ']' ? 1 : -1;
      choose(chosen === null ? (by > 0 ? 0 : count - 1) : (chosen + by + count) % count);
    } else if ((event.key === 'Delete' || event.key === 'Backspace') && count > 0) {
      remove(chosen === null ? count - 1 : chosen);
    } else if (event.key === 'Escape' && chosen !== null) {
      choose(null);
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  }

  function placeOf(event) {
    const box = svg.getBoundingClientRect();
    return [((event.clientX - box.left) / box.width) * width, ((event.clientY - box.top) / box.height) * height];
  }

  function down(event) {
    if (event.button !== 0) {
      return;
    }
    svg.toggleAttribute('data-keys', false); // who points needs no cross
    const index = [...corners.children].indexOf(event.target);
    if (index >= 0) {
      choose(index);
    } else {
      add(placeOf(event));
      chosen = chosen === null ? points().length - 1 : chosen;
    }
    drag = true;
    svg.setPointerCapture(event.pointerId);
  }

  function move(event) {
    if (drag) {
      moveTo(placeOf(event));
    }
  }

  function up() {
    if (drag) {
      drag = false;
      chosen = null;
      drawAll(); // what was said of the corner stays
    }
  }

  function renamed() {
    const good = /^[\p{L}_][\p{L}\p{N}_]*$/u.test(field.value);
    field.setAttribute('aria-invalid', String(!good));
    if (good) {
      model.set('name', field.value);
      change(points(), `Named ${field.value}.`);
    } else {
      status.textContent = 'A name has letters, digits and underscores, and begins with no digit.';
    }
  }

  async function copied() {
    try {
      await navigator.clipboard.writeText(code.textContent);
      say('Copied.');
    } catch {
      getSelection().selectAllChildren(code); // where the page may not write to the clipboard
      say('Press Ctrl+C to copy.');
    }
  }

  const focused = () => {
    svg.toggleAttribute('data-keys', svg.matches(':focus-visible'));
    drawAll();
  };
  const emptied = () => {
    chosen = null;
    change([], 'Cleared.');
  };
  const listeners = [
    [svg, 'keydown', pressed], [svg, 'pointerdown', down], [svg, 'pointermove', move], [svg, 'pointerup', up],
    [svg, 'pointercancel', up], [svg, 'focus', focused], [field, 'input', renamed], [copy, 'click', copied],
    [clear, 'click', emptied], [undo, 'click', () => remove(points().length - 1)]
  ];
  listeners.forEach(([on, name, listener]) => on.addEventListener(name, listener));
  model.on('change:points', drawAll);
  drawAll();
  status.textContent = `${MOUSE}. ${KEYS}.`;
  return () => {
    listeners.forEach(([on, name, listener]) => on.removeEventListener(name, listener));
    model.off('change:points', drawAll);
    root.remove();
  };
}

export default { render };
