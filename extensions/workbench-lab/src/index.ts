/**
 * The plugins of workbench-lab. The renderer of views is a MIME extension and is listed in package.json.
 */
import type { JupyterFrontEndPlugin } from '@jupyterlab/application';

import { again } from './again';
import { language } from './language';

const plugins: JupyterFrontEndPlugin<unknown>[] = [again, language];

export default plugins;
