import type { IModule } from '../model';

declare const module: IModule;
export default module;
