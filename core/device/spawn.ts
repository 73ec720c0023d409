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
  const harness = new URL("./queue_worker.ts", import.meta.url).href;
  // A blob may import statically what the worker itself may not read: the harness and the device's module.
  const bootstrap = `import { serve } from ${JSON.stringify(harness)};
import device from ${JSON.stringify(module)};
serve(device);`;
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

function startBuiltIn(
  name: string,
  bootstrap: string,
  grants: PermissionSet,
): Worker {
  const blob = new Blob([bootstrap], { type: "text/javascript" });
  const url = URL.createObjectURL(blob);
  const permissions = workerPermissions(grants);
  const worker = new Worker(url, {
    type: "module",
    name,
    deno: { permissions },
  });
  URL.revokeObjectURL(url);
  return worker;
}
