// The view of work in progress: state, count, rate, time left, stage, workers, and a Stop button.
// An anywidget module: no imports; the same file serves the live widget, JupyterLab without a kernel, and reports.

const STYLE = `
.wb-run { font: var(--jp-ui-font-size1, 13px)/1.5 var(--jp-ui-font-family, system-ui, sans-serif);
  color: var(--jp-ui-font-color1, inherit); display: flex; flex-wrap: wrap; gap: 4px 12px; align-items: center; }
.wb-run progress { flex: 1 1 160px; max-width: 320px; height: 10px; accent-color: var(--jp-brand-color1, #1976d2); }
.wb-run-title { font-weight: 600; }
.wb-run-text { font-variant-numeric: tabular-nums; }
.wb-run-message { flex-basis: 100%; color: var(--jp-ui-font-color2, GrayText); }
.wb-run-message:empty { display: none; }
.wb-run button { font: inherit; color: inherit; padding: 1px 10px; cursor: pointer;
  background: var(--jp-layout-color2, transparent); border: 1px solid var(--jp-border-color1, currentColor);
  border-radius: 3px; }
.wb-run button:focus-visible { outline: 2px solid var(--jp-brand-color1, #1976d2); outline-offset: 1px; }
.wb-run button:disabled { cursor: default; opacity: 0.6; }
`;

const WATCHED = ['title', 'state', 'done', 'total', 'unit', 'rate', 'eta_s', 'stage', 'workers', 'elapsed',
  'message', 'stopping'];

function isNumber(value) {
  return typeof value === 'number' && Number.isFinite(value);
}

// 1532 -> "1,532"; 0.125 -> "0.125": whole numbers whole, others with four significant digits.
function shortNumber(value) {
  return value.toLocaleString('en-US', Number.isInteger(value) ? {} : { maximumSignificantDigits: 4 });
}

function clock(seconds) {
  const whole = Math.round(seconds);
  if (whole < 60) {
    return `${whole} s`;
  }
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60)];
  const rest = String(whole % 60).padStart(2, '0');
  return hours > 0 ? `${hours}:${String(minutes).padStart(2, '0')}:${rest} h` : `${minutes}:${rest} min`;
}

function describe(model) {
  const [done, total, rate, eta] = ['done', 'total', 'rate', 'eta_s'].map(name => model.get(name));
  const unit = model.get('unit') || '';
  const parts = [];
  if (isNumber(total) && total > 0) {
    // Floored, so that 100 % means done.
    const percent = Math.min(100, Math.floor((100 * (done || 0)) / total));
    parts.push(`${shortNumber(done || 0)} of ${shortNumber(total)} ${unit}`.trim(), `${percent} %`);
  } else if (isNumber(done)) {
    parts.push(`${shortNumber(done)} ${unit}`.trim());
  }
  if (isNumber(rate) && rate > 0) {
    parts.push(`${shortNumber(Number(rate.toPrecision(3)))} ${unit ? unit + '/' : 'per '}s`);
  }
  if (isNumber(eta) && model.get('state') === 'running') {
    parts.push(`${clock(eta)} left`);
  } else if (isNumber(model.get('elapsed')) && model.get('elapsed') > 0) {
    parts.push(clock(model.get('elapsed')));
  }
  if (model.get('stage')) {
    parts.push(model.get('stage'));
  }
  if (isNumber(model.get('workers')) && model.get('workers') > 0) {
    parts.push(model.get('workers') === 1 ? '1 worker' : `${model.get('workers')} workers`);
  }
  return parts.join(' | ');
}

function element(tag, className, parent) {
  const made = document.createElement(tag);
  if (className) {
    made.className = className;
  }
  parent.append(made);
  return made;
}

function render({ model, el }) {
  const root = element('div', 'wb-run', el);
  element('style', '', root).textContent = STYLE;
  const title = element('span', 'wb-run-title', root);
  const bar = element('progress', '', root);
  const text = element('span', 'wb-run-text', root);
  const stop = element('button', '', root);
  stop.type = 'button';
  const message = element('div', 'wb-run-message', root);
  message.setAttribute('role', 'status');

  function draw() {
    const state = model.get('state') || 'running';
    const total = model.get('total');
    const going = state === 'running' || state === 'queued';
    root.dataset.state = state;
    title.textContent = model.get('title') || '';
    if (isNumber(total) && total > 0) {
      bar.max = total;
      bar.value = Math.min(total, model.get('done') || 0);
    } else if (going) {
      bar.removeAttribute('value');
    } else {
      bar.max = 1;
      bar.value = state === 'finished' ? 1 : 0;
    }
    bar.setAttribute('aria-label', `Progress of ${model.get('title') || 'the run'}`);
    const line = describe(model);
    text.textContent = going && state === 'running' ? line : [state, line].filter(Boolean).join(' | ');
    const stopping = Boolean(model.get('stopping'));
    stop.hidden = !going;
    stop.disabled = stopping;
    stop.textContent = stopping ? 'Stopping' : 'Stop';
    stop.setAttribute('aria-label', `Stop ${model.get('title') || 'the run'}`);
    const note = stopping && going ? 'Stopping after this batch.' : model.get('message') || '';
    if (message.textContent !== note) {
      message.textContent = note;
    }
  }

  function askToStop() {
    model.set('stopping', true);
    model.save_changes();
    draw();
  }

  stop.addEventListener('click', askToStop);
  WATCHED.forEach(name => model.on(`change:${name}`, draw));
  draw();
  return () => {
    stop.removeEventListener('click', askToStop);
    WATCHED.forEach(name => model.off(`change:${name}`, draw));
    root.remove();
  };
}

export default { render };
