// Lets Node read our TypeScript as it stands: the sources name one another without an ending, as bundlers want it.
import { registerHooks } from 'node:module';

registerHooks({
  resolve: (name, context, next) => {
    const ours = name.startsWith('./') && context.parentURL?.includes('/src/') && !/\.(js|ts)$/.test(name);
    return next(ours ? `${name}.ts` : name, context);
  }
});
