// Thread: main
// `run --watch`: a plugin whose files change is reloaded into the running machine.
import type { Vm } from "../vm.ts";
import { printNote } from "./output.ts";

/** Editors write a file in several steps. */
const SETTLE_MS = 150;
/** What a module can consist of; beside it may lie a disk that the guest writes to. */
const SOURCE = /\.([cm]?[jt]s|[jt]sx|json|wasm)$/;

/** Watches the folders of the machine's plugins until the watcher is closed. */
export function watchPlugins(vm: Vm): Disposable {
  const plugins = vm.config.devices.filter(({ builtIn, module }) =>
    !builtIn && module.startsWith("file:")
  ).map(({ name, module }) => ({ name, folder: folderOf(module) }));
  if (plugins.length === 0) {
    printNote("paddock: --watch finds no plugin in this manifest");
    return { [Symbol.dispose]: () => {} };
  }
  const timers = new Map<string, ReturnType<typeof setTimeout>>();
  const changed = (paths: readonly string[]) => {
    for (const { name, folder } of plugins) {
      if (!paths.some((path) => path.startsWith(folder))) continue;
      clearTimeout(timers.get(name));
      timers.set(name, setTimeout(() => reload(vm, name), SETTLE_MS));
    }
  };
  const watcher = Deno.watchFs(plugins.map(({ folder }) => folder));
  follow(watcher, changed);
  const stop = () => {
    watcher.close();
    for (const timer of timers.values()) clearTimeout(timer);
  };
  return { [Symbol.dispose]: stop };
}

async function follow(
  watcher: Deno.FsWatcher,
  changed: (paths: readonly string[]) => void,
): Promise<void> {
  for await (const { kind, paths } of watcher) {
    if (kind !== "access") {
      changed(
        paths.filter((path) =>
          SOURCE.test(path) && !/_test\.[a-z]+$/.test(path)
        ),
      );
    }
  }
}

function folderOf(module: string): string {
  return decodeURIComponent(new URL(".", module).pathname);
}

async function reload(vm: Vm, name: string): Promise<void> {
  try {
    await vm.reload(name);
    printNote(`paddock: ${name} is reloaded when its driver resets it`);
  } catch (error) {
    const why = error instanceof Error ? error.message : `${error}`;
    printNote(`paddock: ${name} stays as it was: ${why}`);
  }
}
