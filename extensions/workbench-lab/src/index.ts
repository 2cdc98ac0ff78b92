/**
 * The plugins of workbench-lab. The renderer of views is a MIME extension and is listed in package.json.
 */
import type { JupyterFrontEndPlugin } from '@jupyterlab/application';

import { again } from './again';
import { language } from './language';
import { launcher } from './launcher';
import { reports } from './report';
import { runs } from './runs';
import { settings } from './settings';
import { video } from './video';

const plugins: JupyterFrontEndPlugin<unknown>[] = [settings, again, language, runs, reports, video, launcher];

export default plugins;
