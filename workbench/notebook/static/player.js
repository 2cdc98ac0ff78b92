// A clip with the boxes of what was found on exactly the frame that is shown, and the hits on its scrubber.
// An anywidget module: no imports; the same file serves the live widget, JupyterLab without a kernel, and reports.

const STYLE = `
.wb-player { font: 12px/1.4 var(--jp-ui-font-family, system-ui, sans-serif); color: var(--jp-ui-font-color1, inherit);
  width: 640px; max-width: 100%; box-sizing: border-box; padding: 2px; outline-offset: -2px; }
.wb-player-stage { position: relative; background: #000; overflow: hidden; }
.wb-player-stage video, .wb-player-stage img { display: block; width: 100%; height: 100%; object-fit: fill; }
.wb-player-stage canvas { position: absolute; inset: 0; width: 100%; height: 100%; pointer-events: none; }
.wb-player-bar { display: flex; flex-wrap: wrap; gap: 4px; align-items: center; margin-top: 4px; }
.wb-player button { font: inherit; color: inherit; min-width: 28px; height: 24px; padding: 0 6px; cursor: pointer;
  background: var(--jp-layout-color2, transparent); border: 1px solid var(--jp-border-color1, currentColor); border-radius: 3px; }
.wb-player:focus-visible, .wb-player button:focus-visible, .wb-player input:focus-visible {
  outline: 2px solid var(--jp-brand-color1, #1976d2); }
.wb-player-track { position: relative; flex: 1 1 120px; }
.wb-player-track input { display: block; width: 100%; margin: 0; accent-color: var(--jp-brand-color1, #1976d2); }
.wb-player-hits { position: relative; height: 7px; margin: 0 8px; cursor: pointer; }
.wb-player-hits span { position: absolute; top: 0; height: 6px; min-width: 3px; border-radius: 2px;
  background: var(--jp-brand-color1, #1976d2); }
.wb-player-text { margin-top: 2px; white-space: nowrap; overflow: hidden; text-overflow: ellipsis;
  font-variant-numeric: tabular-nums; color: var(--jp-ui-font-color2, GrayText); }
.wb-player-text:empty { display: none; }
.wb-player-clock { min-width: 9em; white-space: nowrap; text-align: right; font-variant-numeric: tabular-nums; }
`;

// During playback a kernel hears of `time` at most this often.
const SAVE_EVERY_MS = 250;

function clock(seconds) {
  const whole = Math.max(0, seconds);
  return `${String(Math.floor(whole / 60)).padStart(2, '0')}:${(whole % 60).toFixed(2).padStart(5, '0')}`;
}

function toBlobUrl(dataUrl) {
  const comma = dataUrl.indexOf(',');
  const head = dataUrl.slice(5, comma);
  const base64 = /;base64$/i.test(head);
  const body = base64 ? atob(dataUrl.slice(comma + 1)) : decodeURIComponent(dataUrl.slice(comma + 1));
  const bytes = base64 ? Uint8Array.from(body, letter => letter.charCodeAt(0)) : new TextEncoder().encode(body);
  return URL.createObjectURL(new Blob([bytes], { type: head.split(';')[0] }));
}

function element(tag, className, parent, attributes = {}) {
  const made = document.createElement(tag);
  if (className) {
    made.className = className;
  }
  Object.entries(attributes).forEach(([name, value]) => made.setAttribute(name, value));
  parent.append(made);
  return made;
}

// The index of the last entry with t <= time, or -1.
function lastUntil(frames, time) {
  let [low, high] = [0, frames.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (frames[middle][0] <= time) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low - 1;
}

// How long an entry may stand: twice the usual step, so that boxes do not outlive their object.
function reach(frames) {
  const steps = frames.slice(1).map((entry, index) => entry[0] - frames[index][0]).sort((a, b) => a - b);
  return steps.length > 0 ? 2 * steps[steps.length >> 1] : 0;
}

function drawPicture(canvas, model, boxes) {
  const [width, height] = [model.get('width') || 1, model.get('height') || 1];
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.max(1, Math.round(canvas.clientWidth * ratio));
  canvas.height = Math.max(1, Math.round(canvas.clientHeight * ratio));
  const pen = canvas.getContext('2d');
  const [sx, sy] = [canvas.width / width, canvas.height / height];
  pen.font = `${12 * ratio}px system-ui, sans-serif`;
  pen.textBaseline = 'top';
  const write = (text, x, y, colour) => {
    const size = pen.measureText(text).width + 6 * ratio;
    const top = Math.min(Math.max(y, 0), canvas.height - 15 * ratio);
    const start = Math.min(Math.max(x, 0), Math.max(0, canvas.width - size));
    pen.fillStyle = 'rgba(0, 0, 0, 0.75)';
    pen.fillRect(start, top, size, 15 * ratio);
    pen.fillStyle = colour;
    pen.fillText(text, start + 3 * ratio, top + 1.5 * ratio);
  };
  for (const region of model.get('regions') || []) {
    const points = region.points || [];
    if (points.length > 1) {
      pen.beginPath();
      points.forEach(([x, y], index) => (index ? pen.lineTo(x * sx, y * sy) : pen.moveTo(x * sx, y * sy)));
      if (points.length > 2) {
        pen.closePath();
      }
      pen.setLineDash([6 * ratio, 4 * ratio]);
      pen.lineWidth = 2 * ratio;
      pen.strokeStyle = '#ffd54f';
      pen.stroke();
      pen.setLineDash([]);
      write(region.name || '', points[0][0] * sx, points[0][1] * sy, '#ffd54f');
    }
  }
  for (const [x1, y1, x2, y2, track, label] of boxes) {
    const colour = `hsl(${((Number(track) || 0) * 137.5) % 360} 95% 65%)`;
    for (const [line, style] of [[4, 'rgba(0, 0, 0, 0.7)'], [2, colour]]) {
      pen.lineWidth = line * ratio;
      pen.strokeStyle = style;
      pen.strokeRect(x1 * sx, y1 * sy, (x2 - x1) * sx, (y2 - y1) * sy);
    }
    write(nameOf([x1, y1, x2, y2, track, label]), x1 * sx, y1 * sy - 16 * ratio, colour);
  }
}

function nameOf([, , , , track, label]) {
  return [label, track === null || track === undefined ? '' : `#${track}`].filter(Boolean).join(' ');
}

function render({ model, el }) {
  const root = element('div', 'wb-player', el, { tabindex: '0', role: 'group' });
  root.setAttribute('aria-label', `Player of ${model.get('source') || 'the clip'}: space plays, left and right step ` +
    'one frame, [ and ] go to the previous and next hit');
  root.dataset.lmSuppressShortcuts = 'true'; // else JupyterLab takes the keys first
  element('style', '', root).textContent = STYLE;
  const stage = element('div', 'wb-player-stage', root);
  const still = String(model.get('mime') || '').startsWith('image/');
  const video = element(still ? 'img' : 'video', '', stage, still ? { alt: '' } : { playsinline: '', preload: 'auto' });
  video.muted = true;
  const canvas = element('canvas', '', stage, { 'aria-hidden': 'true' });
  const bar = element('div', 'wb-player-bar', root);
  const button = (text, label) => {
    const made = element('button', '', bar, { type: 'button', 'aria-label': label, title: label });
    made.textContent = text;
    return made;
  };
  const buttons = [['[', 'Previous hit ([)'], ['\u2039', 'Previous frame (left)'], ['\u25b6\ufe0e', 'Play (space)'],
    ['\u203a', 'Next frame (right)'], [']', 'Next hit (])']].map(([text, label]) => button(text, label));
  const track = element('div', 'wb-player-track', bar);
  const hits = element('div', 'wb-player-hits', track, { 'aria-hidden': 'true' });
  const scrubber = element('input', '', track, { type: 'range', min: '0', value: '0', 'aria-label': 'Position' });
  const time = element('span', 'wb-player-clock', bar);
  const text = element('div', 'wb-player-text', root);

  const fps = () => Number(model.get('fps')) || 25;
  const offset = () => Number(model.get('offset')) || 0;
  const length = () => (Number.isFinite(video.duration) ? video.duration : 0);
  // Hits of which at least a part is in this clip.
  const found = () => (model.get('hits') || []).filter(hit => hit.end > offset() && hit.start < offset() + length())
    .sort((a, b) => a.start - b.start);
  let [blobUrl, shown, aimed, target, writing, saved, callback, late] = [null, 0, 0, null, false, 0, 0, 0];
  let [alive, frameReach, awaited, refused] = [true, Infinity, false, ''];
  // Where the picture is or is about to be: keys pressed faster than frames are painted still count one by one.
  const here = () => (awaited ? aimed : shown);
  const arrived = at => {
    awaited &&= video.paused && Math.abs(at - aimed) > 0.75 / fps();
  };

  // One line: the hit, the second of the source (as in the tables: the clip has its own count of frames), who is there.
  // Nothing for a clip of which nothing is known; else it is never empty, so that the page below does not jump.
  // A time asked for that is not in the clip is said until another is: a frame painted late does not take it away.
  function caption(now, boxes) {
    if (refused) {
      return refused;
    }
    const marked = model.get('hits') || [];
    if (marked.length === 0 && (model.get('frames') || []).length === 0) {
      return '';
    }
    const reach = 0.5 / fps();
    const labels = marked.filter(hit => hit.start - reach <= now && now < hit.end + reach).map(hit => hit.label);
    const names = boxes.slice(0, 6).map(box => nameOf(box) + (typeof box[6] === 'number' ? ` ${box[6].toFixed(2)}` : ''));
    return [...labels.filter(Boolean).slice(0, 2), `${now.toFixed(2)} s`, ...names].join(' | ');
  }

  // Show what belongs to the frame at `mediaTime` seconds of the clip.
  function show(mediaTime, tell = true) {
    if (video.readyState < 1) {
      return;
    }
    shown = mediaTime;
    root.dataset.frame = String(Math.round(mediaTime * fps()));
    const frames = model.get('frames') || [];
    const now = offset() + mediaTime;
    const index = lastUntil(frames, now + 0.5 / fps());
    const boxes = index >= 0 && now - frames[index][0] <= frameReach ? frames[index][1] : [];
    root.dataset.boxes = String(boxes.length);
    drawPicture(canvas, model, boxes);
    scrubber.value = String(mediaTime);
    time.textContent = `${clock(now)} / ${clock(offset() + length())}`;
    scrubber.setAttribute('aria-valuetext', `${clock(now)} (${now.toFixed(2)} s)`);
    text.textContent = caption(now, boxes);
    if (tell) {
      writing = true;
      model.set('time', now);
      writing = false;
      if (video.paused || performance.now() - saved > SAVE_EVERY_MS) {
        saved = performance.now();
        model.save_changes();
      }
    }
  }

  // The time of the frame on the screen is known exactly only here.
  function nextFrame() {
    if (video.requestVideoFrameCallback) {
      callback = video.requestVideoFrameCallback((_, frame) => {
        clearTimeout(late);
        arrived(frame.mediaTime);
        show(frame.mediaTime, !video.paused || root.dataset.moved === '1');
        nextFrame();
      });
    }
  }

  const guess = () => {
    const frame = Math.floor(video.currentTime * fps() + 1e-3) / fps();
    arrived(frame);
    show(frame, root.dataset.moved === '1');
  };

  // Seek to the middle of a frame: its edges belong to either neighbour once rounded.
  function seek(clipTime) {
    const last = length() > 0 ? Math.max(0, Math.ceil(length() * fps() - 1e-3) - 1) : Infinity;
    const frame = Math.min(Math.max(0, Math.floor(clipTime * fps() + 1e-3)), last);
    const middle = Math.min((frame + 0.5) / fps(), Math.max(0, length() - 0.25 / fps()));
    root.dataset.moved = '1';
    [aimed, awaited, refused] = [frame / fps(), true, ''];
    if (still || video.readyState < 1 || video.seeking) {
      target = middle;
    } else if (Math.abs(video.currentTime - middle) > 1e-4) {
      video.currentTime = middle;
    }
  }

  function seeked() {
    if (target !== null) {
      [video.currentTime, target] = [target, null];
      return;
    }
    // A page that is not painted gets no frame callback; then the position asked for is the best that is known.
    late = setTimeout(guess, video.requestVideoFrameCallback ? 400 : 0);
  }

  function loaded() {
    scrubber.max = String(length());
    scrubber.step = String(1 / fps());
    drawHits();
    const inClip = (Number(model.get('time')) || 0) - offset();
    if (target === null && inClip > 0.5 / fps() && inClip < length()) {
      seek(inClip);
    } else if (target !== null) {
      seeked();
    } else {
      show(0, false);
    }
  }

  function drawHits() {
    hits.replaceChildren();
    for (const hit of found()) {
      const [from, to] = [hit.start, hit.end].map(at => Math.min(Math.max((at - offset()) / length(), 0), 1) * 100);
      if (to > 0 && from < 100) {
        const mark = element('span', '', hits, { title: `${hit.label || 'hit'}, ${clock(hit.start)} to ${clock(hit.end)}` });
        mark.style.left = `${from}%`;
        mark.style.width = `${to - from}%`;
      }
    }
  }

  const step = by => {
    video.pause?.();
    seek((Math.round(here() * fps()) + by) / fps());
  };
  function jump(forward) {
    const [now, edge] = [offset() + here(), 1 / fps()];
    const next = forward ? found().find(hit => hit.start > now + edge) : found().filter(hit => hit.start < now - edge).pop();
    if (next) {
      seek(Math.max(0, next.start - offset() + 1e-6));
    }
  }
  function toggle() {
    root.dataset.moved = '1';
    refused = '';
    if (!video.paused) {
      video.pause();
    } else if (video.play) {
      video.play().catch(failed);
    }
  }
  function failed() {
    if (alive) {
      text.textContent = `This clip cannot be played here. ${model.get('source') || ''}`;
    }
  }
  function playing() {
    buttons[2].textContent = video.paused ? '\u25b6\ufe0e' : '\u275a\u275a';
    buttons[2].setAttribute('aria-label', video.paused ? 'Play (space)' : 'Pause (space)');
    if (video.paused) {
      model.save_changes();
    }
  }
  function pressed(event) {
    const does = { ' ': toggle, ArrowLeft: () => step(-1), ArrowRight: () => step(1), '[': () => jump(false), ']': () => jump(true) };
    const ownSpace = event.key === ' ' && event.target.tagName === 'BUTTON';
    if (Object.hasOwn(does, event.key) && !ownSpace && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      event.stopPropagation();
      does[event.key]();
    }
  }
  function timeChanged() {
    const inClip = (Number(model.get('time')) || 0) - offset();
    if (writing) {
      return;
    }
    if (video.readyState < 1 || (inClip > -0.5 / fps() && inClip <= length() + 0.5 / fps())) {
      seek(inClip);
    } else {
      refused = `${clock(offset() + inClip)} is not in this clip (${clock(offset())} to ${clock(offset() + length())}).`;
      text.textContent = refused;
    }
  }
  function assetChanged() {
    if (blobUrl !== null) {
      URL.revokeObjectURL(blobUrl);
      blobUrl = null;
    }
    const asset = String(model.get('asset') || '');
    stage.style.aspectRatio = `${model.get('width') || 16} / ${model.get('height') || 9}`;
    if (asset.startsWith('data:')) {
      blobUrl = toBlobUrl(asset);
    }
    if (asset) {
      video.src = blobUrl || asset;
    } else {
      video.removeAttribute('src');
      text.textContent = `No clip is stored here. ${model.get('source') || ''}`;
    }
  }
  function stateChanged() {
    frameReach = Math.max(reach(model.get('frames') || []), 2 / fps());
    drawHits();
    show(shown, false);
  }
  function scrubbed() {
    video.pause?.();
    seek(Number(scrubber.value));
  }
  const hitClicked = event => seek(((event.clientX - hits.getBoundingClientRect().left) / hits.clientWidth) * length());
  const timed = () => (video.requestVideoFrameCallback ? undefined : guess());

  const listeners = [[root, 'keydown', pressed], [video, 'click', toggle], [video, 'loadedmetadata', loaded],
    [video, 'loadeddata', nextFrame], [video, 'seeked', seeked], [video, 'timeupdate', timed], [video, 'play', playing],
    [video, 'pause', playing], [video, 'error', failed], [scrubber, 'input', scrubbed], [hits, 'click', hitClicked],
    [buttons[0], 'click', () => jump(false)], [buttons[1], 'click', () => step(-1)], [buttons[2], 'click', toggle],
    [buttons[3], 'click', () => step(1)], [buttons[4], 'click', () => jump(true)]];
  listeners.forEach(([on, name, listener]) => on.addEventListener(name, listener));
  const watched = [['time', timeChanged], ['asset', assetChanged], ...['frames', 'hits', 'regions', 'fps', 'offset', 'width',
    'height'].map(name => [name, stateChanged])];
  watched.forEach(([name, listener]) => model.on(`change:${name}`, listener));
  const sizes = new ResizeObserver(() => show(shown, false));
  assetChanged();
  stateChanged();
  sizes.observe(stage);
  return () => {
    alive = false;
    clearTimeout(late);
    sizes.disconnect();
    video.cancelVideoFrameCallback?.(callback);
    watched.forEach(([name, listener]) => model.off(`change:${name}`, listener));
    listeners.forEach(([on, name, listener]) => on.removeEventListener(name, listener));
    video.pause?.();
    video.removeAttribute('src');
    video.load?.();
    if (blobUrl !== null) {
      URL.revokeObjectURL(blobUrl);
    }
    root.remove();
  };
}

export default { render };
