// Thread: main
// Starts the worker of a device with the permissions that it is granted, and no more to import from.
import type { PermissionSet } from "../manifest/built_in.ts";
import { launcherPermissions, workerPermissions } from "../sandbox/grants.ts";
import type { LauncherInit } from "./launcher_worker.ts";

export interface DeviceWorkerOptions {
  readonly name: string;
  readonly module: string;
  readonly builtIn: boolean;
  readonly grants: PermissionSet;
}

/** The worker, or for a device that is not built in the launcher in front of it; both speak the harness' messages. */
export function startDeviceWorker(options: DeviceWorkerOptions): Worker {
  const { name, module, builtIn, grants } = options;
  const bootstrap = bootstrapOf(module);
  if (builtIn) return startBuiltIn(name, bootstrap, grants);
  const launcher = new Worker(
    new URL("./launcher_worker.ts", import.meta.url),
    {
      type: "module",
      name: `${name} launcher`,
      deno: { permissions: launcherPermissions(grants, module) },
    },
  );
  const permissions = workerPermissions(grants);
  const init: LauncherInit = { name, bootstrap, permissions };
  launcher.postMessage(init);
  return launcher;
}

/**
 * It may import statically what the worker itself may not read: the harness and the device's module. A blob would do
 * too, but Deno's cache would remember each by its name, which no other has.
 */
function bootstrapOf(module: string): string {
  const harness = new URL("./queue_worker.ts", import.meta.url).href;
  const code = `import { serve } from ${JSON.stringify(harness)};
import device from ${JSON.stringify(module)};
serve(device);`;
  return `data:text/javascript,${encodeURIComponent(code)}`;
}

function startBuiltIn(
  name: string,
  bootstrap: string,
  grants: PermissionSet,
): Worker {
  const permissions = workerPermissions(grants);
  return new Worker(bootstrap, { type: "module", name, deno: { permissions } });
}
