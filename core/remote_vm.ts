// Thread: main
// A VM in a process of its own, closed off from everything that its manifest does not grant.
import { RateLimit } from "./sys/rate_limit.ts";
import { fillEmitCache } from "./emit_cache.ts";
import { log } from "./log.ts";
import type { VmConfig } from "./manifest/config.ts";
import { prepareVm } from "./prepare_vm.ts";
import type { Child } from "./sandbox/child.ts";
import { tellMissing } from "./sandbox/missing.ts";
import { coolSpawn, spawnConfined, warmSpawn } from "./sandbox/spawn.ts";
import {
  denoFlags,
  grantedEnvironment,
  vmPermissions,
  vmRules,
} from "./sandbox/vm_permissions.ts";
import type { SandboxLevel, Walls } from "./sandbox/walls.ts";
import { RunFolder } from "./sys/run_folder.ts";
import { eachLine } from "./sys/text_lines.ts";
import { UnixSocket } from "./sys/unix_socket.ts";
import { BrokerServer } from "./vhost_user/broker.ts";
import type { VmStarter } from "./vm_backend.ts";
import { VmLink } from "./vm_link.ts";

/** Lines that it prints in a second; nothing is printed there unless V8 or Deno gives up. */
const MAX_LINES = 100;

export function remoteStarter(sandbox: SandboxLevel): VmStarter {
  if (sandbox === "strict") warmSpawn();
  return {
    abandon: coolSpawn,
    async start(config, emit, options, walls) {
      await using stack = new AsyncDisposableStack();
      const { path: folder } = stack.use(await RunFolder.create());
      stack.defer(coolSpawn);
      const prepared = await prepareVm(config, folder, options, walls.user);
      const [ours, theirs] = UnixSocket.pair();
      stack.use(new BrokerServer(ours, socketsOf(prepared)));
      using asked = theirs;
      const loaded = Promise.withResolvers<void>();
      const child = stack.use(
        await spawnVm(prepared, walls, asked, loaded.promise),
      );
      tellMissing(child.missing);
      const lines = new RateLimit(MAX_LINES);
      eachLine(child.stderr!, (line) => {
        if (lines.take()) log("error", "vm", line);
      });
      const { trace = [] } = options;
      const message = { type: "start", config: prepared, trace } as const;
      const vm = new VmLink(child, message, emit, stack.move());
      loaded.resolve(vm.loaded);
      await vm.start(message);
      fillEmitCache();
      return vm;
    },
  };
}

function spawnVm(
  config: VmConfig,
  walls: Walls,
  broker: UnixSocket,
  loaded: Promise<void>,
): Promise<Child> {
  const permissions = vmPermissions(config, {
    manifest: undefined,
    cache: undefined,
  });
  return spawnConfined({
    ...walls,
    entry: new URL("./vm_process.ts", import.meta.url),
    permissions: denoFlags(permissions),
    env: grantedEnvironment(permissions),
    landlock: vmRules(permissions),
    seccomp: {
      run: permissions.run.length > 0,
      // Of plugins in workers: what we do with a disk needs none of it.
      write: config.devices.some(({ backEnd, builtIn, permissions }) =>
        backEnd === undefined && !builtIn && permissions.write.length > 0
      ),
      // Those of its devices' back ends come by the broker.
      sockets: permissions.net.length > 0 ? "inet" : "none",
      // Nothing opens files while the guest runs, but a device that is reloaded. Programs may outlive who answers.
      paths: permissions.run.length === 0,
    },
    fds: [broker.fd],
    ...walls.sandbox === "off" ? {} : {
      audit: {
        granted: permissions,
        ...onlyPlugin(config),
        loaded,
        onRefused: (attempt) => log("warning", "vm", attempt),
      },
    },
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  });
}

/** Where its grants are, if there is only one in the VM's process: whose code it was, Deno does not say. */
function onlyPlugin({ devices }: VmConfig): { field?: string } {
  const [plugin, other] = devices.filter(({ backEnd, builtIn }) =>
    backEnd === undefined && !builtIn
  );
  if (plugin === undefined || other !== undefined) return {};
  return { field: `devices[${plugin.index}].permissions` };
}

/** The sockets that a VM may be connected to, by its devices' indices. */
function socketsOf({ devices }: VmConfig): Map<number, string> {
  return new Map(
    devices.flatMap(({ index, backEnd }) =>
      backEnd === undefined ? [] : [[index, backEnd.socket] as const]
    ),
  );
}
