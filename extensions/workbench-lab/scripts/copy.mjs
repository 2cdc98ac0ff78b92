// Before the compile: our hand-kept ES modules go to lib/esm (the same bytes serve widgets, JupyterLab and
// reports), and the small plotly bundle becomes package data for reports.
import { copyFileSync, mkdirSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const modules = join(here, '../../../workbench/notebook/static');
const copies = join(here, '../lib/esm');
mkdirSync(copies, { recursive: true });
for (const name of readdirSync(modules)) {
  if (name.endsWith('.js')) {
    copyFileSync(join(modules, name), join(copies, name));
  }
}

const vendor = join(modules, 'vendor');
mkdirSync(vendor, { recursive: true });
const plotly = createRequire(import.meta.url).resolve('plotly.js-basic-dist-min/package.json');
copyFileSync(join(dirname(plotly), 'plotly-basic.min.js'), join(vendor, 'plotly-basic.min.js'));
