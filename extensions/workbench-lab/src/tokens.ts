/**
 * The names of our commands, and the settings that plugins share.
 */
import { Token } from '@lumino/coreutils';
import type { ISignal } from '@lumino/signaling';

export namespace CommandIDs {
  export const report = 'workbench:report';
  export const showRuns = 'workbench:show-runs';
  export const queryVideo = 'workbench:query-video';
  export const tour = 'workbench:tour';
}

/** The values of `schema/plugin.json`, as they are now. */
export interface IWorkbenchSettings {
  readonly pollInterval: number;
  readonly highlightMagics: boolean;
  readonly hideCode: boolean;
  readonly reportLimit: string;
  readonly changed: ISignal<IWorkbenchSettings, void>;
}

export const IWorkbenchSettings = new Token<IWorkbenchSettings>('workbench-lab:IWorkbenchSettings');
