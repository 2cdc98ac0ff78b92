// Explanations, best first: chips, ratios with their intervals, shares; a drill-down for the row that is chosen, and,
// where a kernel listens, the same question asked again on a part of the rows.
// An anywidget module: no imports; the same file serves the live widget, JupyterLab without a kernel, and reports.

// Thrice the class, as pages have rules of their own for all tables.
const R = '.wb-ranked.wb-ranked.wb-ranked';
const STYLE = `
${R} { --r-text: var(--wb-text, var(--jp-content-font-color1, currentColor)); --r-line: var(--wb-grid, var(--jp-border-color2, #8884));
  --r-track: var(--wb-track, var(--jp-layout-color2, #8882));
  --r-muted: color-mix(in srgb, var(--wb-muted, var(--jp-content-font-color2, GrayText)) 70%, var(--r-text));
  --r-accent: var(--wb-accent, var(--jp-brand-color1, #1976d2)); --r-warn: var(--wb-warn, var(--jp-warn-color1, #b35900));
  font: 13px/1.45 var(--jp-ui-font-family, system-ui, sans-serif); color: var(--r-text); font-variant-numeric: tabular-nums; }
${R} .wb-r-scroll { overflow-x: auto; }
${R} table { border-collapse: collapse; border: 0; margin: 0; font: inherit; font-size: 12px; color: inherit; table-layout: auto; }
${R} tr, ${R} tr:nth-child(even), ${R} tr:hover { background: none; }
${R} th, ${R} td { padding: 4px 12px 4px 4px; border: 0; border-bottom: 1px solid var(--r-line); text-align: left;
  vertical-align: middle; white-space: nowrap; color: inherit; background: none; max-width: none; }
${R} th { border-bottom-width: 2px; font-weight: 600; }
${R} .wb-r-n { text-align: right; }
${R} tbody tr.wb-r-row { cursor: pointer; }
${R} tbody tr.wb-r-row:hover { background: var(--r-track); }
${R} tbody tr.wb-r-row[aria-selected="true"] { background: color-mix(in srgb, var(--r-accent) 16%, transparent); }
${R} tr:focus-visible, ${R} .wb-r-scroll:focus-visible, ${R} button:focus-visible { outline: 2px solid var(--r-accent); outline-offset: -2px; }
${R} button { font: inherit; color: inherit; background: var(--r-track); border: 1px solid var(--r-line); border-radius: 3px;
  padding: 1px 8px; min-height: 24px; cursor: pointer; }
${R} button[aria-disabled="true"] { opacity: 0.6; cursor: default; }
${R} .wb-r-tools .wb-r-close { margin-left: auto; }
${R} th button { background: none; border: 0; padding: 0; font-weight: 600; }
${R} th button::after, ${R} th.wb-r-n button::before { content: ''; display: inline-block; width: 1.1em; text-align: center;
  color: var(--r-accent); }
${R} th.wb-r-n button::after { display: none; }
${R} th[aria-sort="ascending"] button::after, ${R} th.wb-r-n[aria-sort="ascending"] button::before { content: '\\25b4'; }
${R} th[aria-sort="descending"] button::after, ${R} th.wb-r-n[aria-sort="descending"] button::before { content: '\\25be'; }
${R} .wb-r-chip { display: inline-block; border: 1px solid var(--r-line); border-radius: 9px; padding: 0 7px; background: var(--r-track); }
${R} .wb-r-chip span, ${R} .wb-r-and, ${R} .wb-r-same, ${R} .wb-r-note { color: var(--r-muted); }
${R} .wb-r-same { font-size: 11px; white-space: normal; }
${R} .wb-r-bar { display: inline-block; position: relative; width: 110px; height: 12px; margin-right: 8px; vertical-align: -1px; }
${R} .wb-r-bar i { position: absolute; top: 0; bottom: 0; min-width: 2px; border-radius: 2px; background: var(--r-accent); opacity: 0.55; }
${R} .wb-r-bar b { position: absolute; top: 2px; bottom: 2px; border: solid var(--r-text); border-width: 0 1px; }
${R} .wb-r-bar b::after { content: ''; position: absolute; left: 0; right: 0; top: 50%; border-top: 1px solid var(--r-text); }
${R} .wb-r-bar b.wb-r-open { border-right: 0; }
${R} .wb-r-share { width: 60px; background: var(--r-track); border-radius: 2px; }
${R} .wb-r-muted, ${R} .wb-r-status { color: var(--r-muted); font-size: 12px; }
${R} .wb-r-status { min-height: 1.45em; }
${R} .wb-r-more { margin: 4px 0 0; }
${R} .wb-r-detail { border-left: 3px solid var(--r-accent); padding: 6px 0 2px 10px; margin: 8px 0 0; box-sizing: border-box; }
${R} .wb-r-detail > *, ${R} .wb-r-answer > * { margin: 0 0 8px; }
${R} .wb-r-answer { border: 1px solid var(--r-line); border-left: 3px solid var(--r-accent); border-radius: 3px; padding: 8px 10px 2px; }
${R} .wb-r-tools { display: flex; flex-wrap: wrap; gap: 6px; align-items: center; }
${R} .wb-r-tools strong { margin-right: 6px; }
${R} .wb-r-summary { font-weight: 600; }
${R} .wb-r-note { border-left: 3px solid var(--r-accent); padding-left: 8px; white-space: pre-line; }
${R} .wb-r-note[data-level="warning"] { border-color: var(--r-warn); }
${R} svg { display: block; max-width: 100%; height: auto; }
${R} pre { margin: 0; padding: 0; font: 12px/1.4 var(--jp-code-font-family, monospace); white-space: pre-wrap; color: inherit;
  background: none; }
`;

const WATCHED = ['columns', 'rows', 'details', 'live'];
const [TAGS, NAMES] = ['svg g rect line path polyline polygon circle ellipse text tspan title desc', 'x y x1 y1 x2 y2 cx cy r rx ' +
  'ry width height d points viewBox preserveAspectRatio transform fill stroke stroke-width stroke-dasharray stroke-linecap ' +
  'stroke-linejoin stroke-opacity fill-opacity fill-rule opacity font-size font-family font-weight text-anchor ' +
  'dominant-baseline dx dy class style role aria-label aria-hidden'].map(words => new Set(words.split(' ')));
const SVG = 'http://www.w3.org/2000/svg';
let made = 0;

function element(tag, className, parent, attributes = {}, text = '') {
  const one = document.createElement(tag);
  if (className) {
    one.className = className;
  }
  Object.entries(attributes).forEach(([name, value]) => one.setAttribute(name, value));
  if (text) {
    one.textContent = text;
  }
  parent.append(one);
  return one;
}

// ------------------------------------------------------------------------------------------------------ what is written

// All figures are those of the text form, to the last digit (workbench/engine/ranked.py).
const finite = given => (given === 'inf' ? Infinity : given === '-inf' ? -Infinity : typeof given === 'number' ? given : NaN);

// `digits` decimals; an exact half goes to the even neighbour, as in Python.
function fixed(number, digits) {
  const exact = Math.abs(number).toFixed(Math.min(100, digits + 60));
  const point = exact.indexOf('.');
  const tie = /^50*$/.test(exact.slice(point + 1 + digits));
  const kept = exact.slice(0, point + (digits > 0 ? digits + 1 : 0));
  const text = tie && Number(kept.at(-1)) % 2 === 0 ? kept : Math.abs(number).toFixed(digits);
  const [whole, rest] = text.split('.');
  return (number < 0 ? '-' : '') + whole.replace(/\B(?=(\d{3})+$)/g, ',') + (rest ? `.${rest}` : '');
}

// `digits` significant ones, without zeros at the end.
function general(number, digits) {
  const exponent = Number(number.toExponential(digits - 1).split('e')[1]);
  if (exponent < -4 || exponent >= digits) {
    const [head, power] = number.toExponential(digits - 1).split('e');
    return `${Number(head)}e${power[0]}${power.slice(1).padStart(2, '0')}`;
  }
  const text = fixed(number, digits - 1 - exponent);
  return text.includes('.') ? text.replace(/\.?0+$/, '') : text;
}

function figure(given) {
  const [number, size] = [finite(given), Math.abs(finite(given))];
  if (!Number.isFinite(number)) {
    return Number.isNaN(number) ? '' : number > 0 ? '\u221e' : '-\u221e';
  }
  return size >= 1e15 ? general(number, 2) : size >= 99.95 ? fixed(number, 0) : size >= 0.995 ? fixed(number, 1)
    : size > 0 ? general(number, 2) : '0';
}

function share(given) {
  const percent = 100 * finite(given);
  if (Number.isNaN(percent)) {
    return '';
  }
  return percent === 0 || percent === 100 ? `${percent} %`
    : Math.abs(percent) >= 0.0995 ? `${fixed(percent < 100 ? Math.min(percent, 99.9) : percent, 1)} %` : `${general(percent, 2)} %`;
}

function numberText(given) {
  const number = finite(given);
  if (!Number.isFinite(number)) {
    return figure(given);
  }
  if (Number.isInteger(number) && Math.abs(number) < 1e15) {
    return fixed(number, 0);
  }
  const exponent = Number(number.toExponential(3).split('e')[1]);
  if (exponent < -5 || exponent > 14) {
    return general(number, 4);
  }
  const text = exponent > 3 ? fixed(Number(number.toPrecision(4)), 0) : fixed(number, 3 - exponent);
  return text.includes('.') ? text.replace(/\.?0+$/, '') : text;
}

const cut = text => (text.length <= 80 ? text : `${text.slice(0, 79)}\u2026`);
const oneLine = given => cut(String(given).replace(/\r/g, '').replace(/\n/g, '\u21b5'));
const valueText = given => (given === null || given === undefined ? '\u2205' : oneLine(given));
const chipsOf = cell => (Array.isArray(cell) ? cell : (cell && cell.chips) || []);
const sentence = chips => chips.map(([column, given]) => `${oneLine(column)} = ${valueText(given)}`).join(' and ');

// What a cell is sorted by.
function weight(cell, format) {
  if (format === 'chips') {
    return sentence(chipsOf(cell));
  }
  const given = format === 'ratio' ? cell && cell.value : format === 'count_of' ? cell && cell[0]
    : format === 'spark' ? (cell || []).filter(one => one !== null).pop() : cell;
  return format === 'text' ? String(given ?? '') : finite(given);
}

function compare(one, other) {
  if (typeof one === 'string') {
    return one < other ? -1 : one > other ? 1 : 0;
  }
  const [left, right] = [one, other].map(given => (Number.isNaN(given) ? -Infinity : given));
  return left < right ? -1 : left > right ? 1 : 0;
}

// ---------------------------------------------------------------------------------------------------------- what is drawn

function drawChips(cell, parent) {
  chipsOf(cell).forEach(([column, given], index) => {
    if (index > 0) {
      element('span', 'wb-r-and', parent, {}, ' \u2227 ');
    }
    const chip = element('span', 'wb-r-chip', parent);
    element('span', '', chip, {}, `${oneLine(column)} = `);
    chip.append(valueText(given));
  });
  ((cell && cell.same) || []).forEach(chips => element('div', 'wb-r-same', parent, {}, `same rows: ${sentence(chips)}`));
}

// A scale for all cells of a column: logarithmic around 1 for ratios, from 0 for differences; infinity is its right end.
function scaleOf(cells, linear) {
  const all = cells.flatMap(cell => (cell ? [cell.value, cell.low, cell.high].map(finite) : []))
    .filter(one => Number.isFinite(one) && (linear || one > 0));
  const [low, high] = [Math.min(...all, linear ? 0 : 1), Math.max(...all, linear ? 1e-9 : 1.01)];
  const room = cells.some(cell => cell && finite(cell.value) === Infinity) ? 0.9 : 1;
  const at = one => (linear ? (one - low) / (high - low) : Math.log(one / low) / Math.log(high / low)) * room;
  return { base: at(linear ? 0 : 1), at: one => (one === Infinity ? 1 : one <= 0 && !linear ? 0 : Math.min(Math.max(at(one), 0), 1)) };
}

function drawRatio(cell, parent, scale) {
  const [middle, low, high] = ['value', 'low', 'high'].map(name => finite(cell && cell[name]));
  const bar = element('span', 'wb-r-bar', parent, { 'aria-hidden': 'true' });
  const place = (tag, from, to) => {
    const part = element(tag, '', bar);
    part.style.left = `${100 * Math.min(from, to)}%`;
    part.style.width = `${100 * Math.abs(to - from)}%`;
    return part;
  };
  if (!Number.isNaN(middle)) {
    place('i', scale.base, scale.at(middle));
  }
  if (!Number.isNaN(low) && !Number.isNaN(high)) {
    place('b', scale.at(low), scale.at(high)).classList.toggle('wb-r-open', high === Infinity);
    parent.append(`${figure(middle)} `);
    element('span', 'wb-r-muted', parent, {}, `[${figure(low)}, ${figure(high)}]`);
  } else {
    parent.append(figure(middle));
  }
}

function drawSpark(cell, parent) {
  const points = cell || [];
  const known = points.map(finite).filter(Number.isFinite);
  if (known.length === 0) {
    return;
  }
  const [low, high] = [Math.min(...known), Math.max(...known)];
  const svg = document.createElementNS(SVG, 'svg');
  const label = `${points.length} panes, last ${figure(known.at(-1))}`;
  const give = (shape, attributes) => Object.entries(attributes).forEach(pair => shape.setAttribute(...pair));
  give(svg, { width: 72, height: 18, viewBox: '0 0 72 18', role: 'img', 'aria-label': label });
  let line = [];
  [...points, null].forEach((given, index) => {
    if (Number.isFinite(finite(given))) {
      const x = 2 + (68 * index) / Math.max(1, points.length - 1);
      line.push(`${x.toFixed(1)},${(15 - (12 * (given - low)) / (high - low || 1)).toFixed(1)}`);
    } else if (line.length > 0) {
      const shape = document.createElementNS(SVG, 'polyline');
      give(shape, { points: (line.length > 1 ? line : [line[0], line[0]]).join(' '), fill: 'none',
        stroke: 'var(--r-accent)', 'stroke-width': 1.5, 'stroke-linecap': 'round' });
      svg.append(shape);
      line = [];
    }
  });
  parent.append(svg);
}

function drawCell(cell, column, parent, scale) {
  const format = column.format;
  if (['rank', 'number', 'count_of'].includes(format)) {
    parent.className = 'wb-r-n';
  }
  if (format === 'chips') {
    drawChips(cell, parent);
  } else if (format === 'ratio') {
    drawRatio(cell, parent, scale);
  } else if (format === 'share') {
    const fill = element('i', '', element('span', 'wb-r-bar wb-r-share', parent, { 'aria-hidden': 'true' }));
    fill.style.width = `${100 * Math.min(1, (finite(cell) || 0) / scale)}%`;
    parent.append(share(cell));
  } else if (format === 'count_of') {
    parent.textContent = cell ? `${numberText(cell[0])} of ${numberText(cell[1])}` : '';
  } else if (format === 'spark') {
    drawSpark(cell, parent);
  } else {
    parent.textContent = cell === null || cell === undefined ? '' : typeof cell === 'number' ? numberText(cell) : oneLine(cell);
  }
}

// A drawing from elsewhere: only what is on the lists comes through.
function copySvg(text) {
  const parsed = new DOMParser().parseFromString(String(text), 'image/svg+xml').documentElement;
  const copy = from => {
    const to = document.createElementNS(SVG, from.localName);
    for (const { name, value: given } of from.attributes) {
      if (NAMES.has(name) && !/url\s*\(/i.test(given) && (name !== 'style' || /^[\w\s:;,.#%()-]*$/.test(given))) {
        to.setAttribute(name, given);
      }
    }
    for (const child of from.childNodes) {
      if (child.nodeType === Node.TEXT_NODE) {
        to.append(child.data);
      } else if (child.nodeType === Node.ELEMENT_NODE && TAGS.has(child.localName)) {
        to.append(copy(child));
      }
    }
    return to;
  };
  return parsed.localName === 'svg' ? copy(parsed) : document.createTextNode('');
}

function drawTable(block, parent) {
  const columns = (block.columns || []).map(column => (typeof column === 'string' ? column : column.label || column.name));
  const rows = block.rows || [];
  const right = columns.map((_, at) => rows.some(row => typeof row[at] === 'number'));
  const box = element('div', 'wb-r-scroll', parent, { tabindex: '0', role: 'group', 'aria-label': block.name || 'Table' });
  const table = element('table', '', box);
  const mark = at => (right[at] ? 'wb-r-n' : '');
  const head = element('tr', '', element('thead', '', table));
  columns.forEach((column, at) => element('th', mark(at), head, { scope: 'col' }, column));
  const body = element('tbody', '', table);
  for (const row of rows) {
    const line = element('tr', '', body);
    columns.forEach((_, at) => drawCell(row[at], { format: 'text' }, element('td', mark(at), line)));
  }
  const total = block.total ?? rows.length;
  if (total > rows.length) {
    element('div', 'wb-r-muted', parent, {}, `${numberText(rows.length)} of ${numberText(total)} rows`);
  }
}

async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // No clipboard for this page, or it may not be used: the old way.
    const area = element('textarea', '', document.body);
    area.value = text;
    area.select();
    const done = document.execCommand('copy');
    area.remove();
    return done;
  }
}

// ------------------------------------------------------------------------------------------------------------ the module

function render({ model, el }) {
  const root = element('div', 'wb-ranked', el);
  root.dataset.lmSuppressShortcuts = 'true'; // else JupyterLab takes the keys first
  element('style', '', root).textContent = STYLE;
  const place = element('div', '', root);
  const status = element('div', 'wb-r-status', root, { role: 'status' });
  const id = `wb-ranked-${made++}`;
  const top = { get: name => model.get(name), set: (name, given) => { model.set(name, given); model.save_changes(); } };
  // The answer that is shown last; below it those to which a way leads back.
  const answers = [{ view: top, title: '', blocks: [] }];
  let [asked, waiting, shown] = [0, null, null];

  const say = text => { status.textContent = text; };

  function drawBlock(block, parent) {
    if (block.kind === 'summary') {
      element('div', 'wb-r-summary', parent, {}, block.text);
    } else if (block.kind === 'note') {
      element('div', 'wb-r-note', parent, { role: 'note', 'data-level': block.level || 'info' }, block.text);
    } else if (block.kind === 'table') {
      drawTable(block, element('div', '', parent));
    } else if (block.kind === 'svg') {
      element('div', '', parent).append(copySvg(block.svg));
    } else if (block.kind === 'code') {
      element('pre', '', parent, { 'data-language': block.language || '' }, block.text);
    }
  }

  function ask(what, row, title) {
    if (waiting === null) {
      waiting = { id: ++asked, title };
      say(`Asking again ${title}\u2026`);
      shown.drawDetail();
      model.send({ do: what, row, key: shown.view.get('key') || '', id: waiting.id });
    }
  }

  // Details that are not stored are asked for; what comes back says nothing where there are none.
  const lookups = new Map();
  function lookUp(view, row, take) {
    lookups.set(++asked, take);
    model.send({ do: 'details', row, key: view.get('key') || '', id: asked });
  }

  function answered(message) {
    if (message && lookups.has(message.id)) {
      lookups.get(message.id)(message.details || []);
      lookups.delete(message.id);
      return;
    }
    if (waiting === null || !message || message.id !== waiting.id) {
      return;
    }
    const { title } = waiting;
    waiting = null;
    if (message.error) {
      say([].concat(message.error).join(' '));
      shown.drawDetail();
      return;
    }
    const state = { ...((message.blocks.find(block => block.kind === 'ranked') || {}).state || {}), key: message.key };
    const view = { get: name => (name === 'live' ? model.get('live') : state[name]), set: (name, given) => { state[name] = given; } };
    answers.push({ view, title, blocks: message.blocks });
    say('');
    open();
    place.querySelector('button')?.focus();
  }

  function back() {
    answers.pop();
    waiting = null;
    say('');
    open().focus();
  }

  // Show the last answer.
  function open() {
    const { view, blocks } = answers.at(-1);
    place.replaceChildren();
    const host = element('div', answers.length > 1 ? 'wb-r-answer' : '', place);
    if (answers.length > 1) {
      const line = element('div', 'wb-r-tools', host);
      element('button', '', line, { type: 'button' }, '\u2039 Back').addEventListener('click', back);
      element('strong', '', line, {}, answers.slice(1).map(one => one.title).join(' \u203a '));
    }
    blocks.filter(block => block.kind === 'summary' || block.kind === 'note').forEach(block => drawBlock(block, host));
    shown = panel(view, element('div', '', host));
    const [total, stored] = [view.get('total') || 0, (view.get('rows') || []).length];
    if (answers.length > 1 && total > stored) {
      element('div', 'wb-r-muted', host, {}, `${numberText(stored)} of ${numberText(total)} explanations`);
    }
    blocks.filter(block => block.kind === 'svg').forEach(block => drawBlock(block, host));
    return shown;
  }

  // The table of one answer, with the drill-down of the row that is chosen.
  function panel(view, host) {
    const box = element('div', 'wb-r-scroll', host);
    const more = element('button', 'wb-r-more', host, { type: 'button' });
    const detail = element('div', 'wb-r-detail', host, { role: 'region', id: `${id}-detail` });
    const fetched = new Map();
    let [whole, active, order, lines, named] = [false, 0, [], [], null];
    const columns = () => view.get('columns') || [];
    const rows = () => view.get('rows') || [];
    const sorted = () => view.get('sort') || {};
    const chosen = () => view.get('selected') ?? null;
    // The rank from 0: rows of the same data are folded, so it is not the row's number.
    const rankOf = row => {
      const at = columns().findIndex(column => column.format === 'rank');
      return at < 0 ? row : rows()[row][at] - 1;
    };
    const chipsIn = row => chipsOf(row[columns().findIndex(column => column.format === 'chips')]);

    function ordered() {
      const { column: name, descending } = sorted();
      const at = columns().findIndex(column => column.name === name);
      const all = rows().map((_, index) => index);
      if (at < 0) {
        return all;
      }
      const keys = rows().map(row => weight(row[at], columns()[at].format));
      return all.sort((a, b) => (descending ? -1 : 1) * compare(keys[a], keys[b]) || a - b);
    }

    function sortBy(column) {
      const { column: name, descending } = sorted();
      const first = !['rank', 'chips', 'text'].includes(column.format); // large numbers first, but ranks and words from the start
      view.set('sort', name === column.name ? { column: name, descending: !descending } : { column: column.name, descending: first });
      refresh();
    }

    function refresh() {
      const held = lines.indexOf(document.activeElement);
      const heading = [...box.querySelectorAll('th button')].indexOf(document.activeElement);
      order = ordered();
      const page = view.get('page') || 10;
      const count = whole ? order.length : Math.min(page, order.length);
      const table = document.createElement('table');
      table.setAttribute('role', 'grid');
      table.setAttribute('aria-label', 'Explanations: arrow keys move, Enter opens, headings sort');
      const head = element('tr', '', element('thead', '', table));
      for (const column of columns()) {
        const up = sorted().column === column.name ? (sorted().descending ? 'descending' : 'ascending') : 'none';
        const right = ['rank', 'number', 'count_of'].includes(column.format) ? 'wb-r-n' : '';
        const cell = element('th', right, head, { scope: 'col', 'aria-sort': up });
        element('button', '', cell, { type: 'button' }, column.label || column.name).addEventListener('click', () => sortBy(column));
      }
      const scales = columns().map((column, at) => {
        const cells = rows().map(row => row[at]);
        return column.format === 'ratio' ? scaleOf(cells, column.linear)
          : Math.max(...cells.map(cell => finite(cell) || 0), 1e-9);
      });
      const body = element('tbody', '', table);
      active = Math.min(active, Math.max(0, count - 1));
      lines = order.slice(0, count).map((index, position) => {
        const line = element('tr', 'wb-r-row', body, { tabindex: position === active ? '0' : '-1',
          'aria-selected': String(index === chosen()), 'data-row': String(index) });
        columns().forEach((column, at) => drawCell(rows()[index][at], column, element('td', '', line), scales[at]));
        line.addEventListener('click', () => pick(position));
        line.addEventListener('focus', () => { active = position; });
        return line;
      });
      box.replaceChildren(...(columns().length > 0 ? [table] : []));
      more.hidden = order.length <= page;
      more.textContent = whole ? `Show the first ${page}` : `Show all ${numberText(order.length)}`;
      (held >= 0 ? lines[active] : heading >= 0 ? box.querySelectorAll('th button')[heading] : null)?.focus();
      drawDetail();
    }

    // New rows have come: the choice stays with its explanation, and the page below where it is.
    function grow() {
      const at = named === null ? -1 : rows().findIndex(row => sentence(chipsIn(row)) === named);
      if (named !== null && at !== chosen()) {
        view.set('selected', at < 0 ? null : at);
      }
      box.style.minHeight = `${box.offsetHeight}px`;
      refresh();
    }

    function drawDetail() {
      const row = chosen();
      const held = detail.contains(document.activeElement) ? document.activeElement.textContent : null;
      const height = detail.hidden ? 0 : detail.offsetHeight;
      detail.hidden = row === null || !rows()[row];
      detail.replaceChildren();
      // The page below stays where it is while rows are walked through.
      detail.style.minHeight = detail.hidden ? '' : `${height}px`;
      named = detail.hidden ? null : sentence(chipsIn(rows()[row]));
      if (detail.hidden) {
        return;
      }
      const title = named;
      detail.setAttribute('aria-label', title);
      const tools = element('div', 'wb-r-tools', detail);
      element('strong', '', tools, {}, title);
      const button = (text, hint, does) => {
        const one = element('button', '', tools, { type: 'button', title: hint }, text);
        one.addEventListener('click', does);
        return one;
      };
      const blocks = (view.get('details') || {})[String(row)] || fetched.get(named) || [];
      if (blocks.length === 0 && model.get('live') && !fetched.has(named)) {
        fetched.set(named, []);
        lookUp(view, rankOf(row), found => {
          fetched.set(title, found);
          if (named === title) {
            drawDetail();
          }
        });
      }
      for (const [language, text] of [['sql', 'Copy SQL'], ['pandas', 'Copy pandas']]) {
        const code = blocks.find(block => block.kind === 'code' && block.language === language);
        if (code) {
          button(text, code.text, async () => say(`${await copyText(code.text) ? 'Copied' : 'Copy it from here'}: ${code.text}`));
        }
      }
      if (model.get('live')) {
        for (const [what, text, hint] of [['within', 'Look within', 'Ask again on these rows only'],
          ['without', 'Exclude and rerun', 'Ask again on all other rows']]) {
          button(text, hint, () => ask(what, rankOf(row), `${what} ${title}`)).setAttribute('aria-disabled', String(waiting !== null));
        }
      }
      button('\u2715', 'Close (Escape)', close).className = 'wb-r-close';
      [...blocks].sort((one, other) => (one.kind === 'code') - (other.kind === 'code')).forEach(block => drawBlock(block, detail));
      if (blocks.length === 0) {
        element('div', 'wb-r-muted', detail, {}, `Its rows are not stored here: .rows(${rankOf(row)}) of the result gives them.`);
      }
      if (held !== null) {
        [...tools.querySelectorAll('button')].find(one => one.textContent === held)?.focus();
      }
    }

    function select(row) {
      view.set('selected', row);
      say('');
      lines.forEach(line => line.setAttribute('aria-selected', String(Number(line.dataset.row) === row)));
      drawDetail();
    }

    function go(position) {
      active = Math.min(Math.max(position, 0), lines.length - 1);
      lines.forEach((line, at) => { line.tabIndex = at === active ? 0 : -1; });
      lines[active]?.focus();
      if (chosen() !== null) {
        select(order[active]);
      }
    }

    function pick(position) {
      active = position;
      lines.forEach((line, at) => { line.tabIndex = at === active ? 0 : -1; });
      select(chosen() === order[position] ? null : order[position]);
    }

    function close() {
      select(null);
      lines[active]?.focus();
    }

    function pressed(event) {
      const steps = { ArrowDown: () => go(active + 1), ArrowUp: () => go(active - 1), Home: () => go(0),
        End: () => go(lines.length - 1), Enter: () => pick(active), ' ': () => pick(active) };
      const inRow = lines.includes(event.target);
      if (event.ctrlKey || event.metaKey || event.altKey) {
        return;
      }
      if (event.key === 'Escape' && chosen() !== null) {
        close();
      } else if (inRow && Object.hasOwn(steps, event.key)) {
        steps[event.key]();
      } else {
        return;
      }
      event.preventDefault();
      event.stopPropagation();
    }

    more.addEventListener('click', () => { whole = !whole; refresh(); });
    host.addEventListener('keydown', pressed);
    active = Math.max(0, ordered().indexOf(chosen()));
    refresh();
    return { view, grow, drawDetail, focus: () => lines[active]?.focus() };
  }

  const changed = () => {
    if (answers.length === 1) {
      shown.grow();
    }
  };
  const liveChanged = () => shown.drawDetail();
  WATCHED.forEach(name => model.on(`change:${name}`, name === 'live' ? liveChanged : changed));
  model.on('msg:custom', answered);
  open();
  return () => {
    WATCHED.forEach(name => model.off(`change:${name}`, name === 'live' ? liveChanged : changed));
    model.off('msg:custom', answered);
    root.remove();
  };
}

export default { render };
