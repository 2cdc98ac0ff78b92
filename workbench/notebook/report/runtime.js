// Gives each view of the report its ES module, without a kernel and without a network: modules come from blob URLs.
(async () => {
  const read = id => JSON.parse(document.getElementById(id)?.textContent || 'null');
  const modules = read('wb-modules') || {};
  const loaded = {};
  for (const [name, source] of Object.entries(modules)) {
    const url = URL.createObjectURL(new Blob([source], { type: 'text/javascript' }));
    loaded[name] = import(url).then(module => module.default).finally(() => URL.revokeObjectURL(url));
  }

  function makeModel(state) {
    const listeners = new Map();
    return {
      get: name => state[name],
      set: (name, value) => {
        if (!Object.is(state[name], value)) {
          state[name] = value;
          [...(listeners.get(`change:${name}`) || [])].forEach(listener => listener(value));
        }
      },
      on: (event, listener) => listeners.set(event, (listeners.get(event) || new Set()).add(listener)),
      off: (event, listener) => (listener ? listeners.get(event)?.delete(listener) : listeners.delete(event)),
      save_changes: () => {},
      send: () => {}
    };
  }

  // The static form of a view gives its place; a clip's element gives its data.
  function place(host, view) {
    const held = host.querySelector(`[data-wb-asset="${CSS.escape(String(view.state.asset || view.id))}"]`);
    const still = host.querySelector(`[data-wb-view="${CSS.escape(view.id)}"]`) || (view.module === 'player' ? held : null);
    if ('asset' in view.state) {
      view.state.asset = held?.getAttribute('src') || held?.querySelector('source')?.getAttribute('src') || '';
    }
    const slot = document.createElement('div');
    slot.className = 'wb-part';
    still ? still.replaceWith(slot) : host.append(slot);
    return slot;
  }

  await Promise.all((read('wb-bundles') || []).map(async (views, index) => {
    const host = document.querySelector(`[data-wb-bundle="${index}"]`);
    const models = [];
    for (const view of views) {
      const slot = place(host, view);
      const model = makeModel(view.state);
      models.push(model);
      (await loaded[view.module]).render({ model, el: slot });
    }
    // Player and timeline of one result share `time`.
    models.forEach(model => model.on('change:time', value => {
      models.forEach(other => other === model || other.set('time', value));
    }));
  }));

  await Promise.all((read('wb-plots') || []).map(({ data, layout, config }, index) =>
    window.Plotly.newPlot(document.querySelector(`[data-wb-plot="${index}"]`), data || [], layout || {},
      { ...config, responsive: true, displaylogo: false })));
  document.documentElement.dataset.ready = '1';
})();
