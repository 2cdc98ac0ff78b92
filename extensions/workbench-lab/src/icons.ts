/**
 * Our icons, in the classes by which JupyterLab's themes colour them.
 */
import { LabIcon } from '@jupyterlab/ui-components';

const SVG = 'xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24"';

/** Three bars of progress. */
export const runsIcon = new LabIcon({
  name: 'workbench-lab:runs',
  svgstr: `<svg ${SVG} width="16"><g class="jp-icon3" fill="#616161"><path d="M3 4h18v4H3z" opacity=".35"/><path
    d="M3 4h13v4H3z"/><path d="M3 10h18v4H3z" opacity=".35"/><path d="M3 10h7v4H3z"/><path d="M3 16h18v4H3z"/></g></svg>`
});

/** A page with a chart, going down. */
export const reportIcon = new LabIcon({
  name: 'workbench-lab:report',
  svgstr: `<svg ${SVG} width="16"><path class="jp-icon3" fill="#616161"
    d="M6 2h8l6 6v14H4V4a2 2 0 0 1 2-2zm7 1.5V9h5.5zM7 18h2v-5H7zm4 0h2v-7h-2zm4 0h2v-3h-2z" fill-rule="evenodd"/></svg>`
});

/** A lens over a film. */
export const queryIcon = new LabIcon({
  name: 'workbench-lab:query',
  svgstr: `<svg ${SVG} width="16"><path class="jp-icon3" fill="#616161" fill-rule="evenodd" d="M3 4h18v8.1a6 6 0 0 0-2-1.4V9
    h-3.4a6 6 0 0 0-5.4 9H3zm2 2v2h2V6zm4 0v2h6V6zm8 0v2h2V6zM5 10v2h2v-2zm0 4v2h2v-2zm11.5-3a4.5 4.5 0 0 1 3.7 7l2.5
    2.5-1.2 1.2-2.5-2.5a4.5 4.5 0 1 1-2.5-8.2zm0 1.7a2.8 2.8 0 1 0 0 5.6 2.8 2.8 0 0 0 0-5.6z"/></svg>`
});

/** A flag on a path: the tour. */
export const tourIcon = new LabIcon({
  name: 'workbench-lab:tour',
  svgstr: `<svg ${SVG} width="16"><path class="jp-icon3" fill="#616161" d="M5 3h2v1h12l-3 4 3 4H7v9H5z"/></svg>`
});
