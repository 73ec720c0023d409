// 4 KiB reads from our block device by a driver that polls, with the device in a worker here or in its own process.
import { GuestMemory } from "../../core/memory/guest_memory.ts";
import { DeviceProcess } from "../support/device_process.ts";
import { FakeRing } from "../support/fake_driver.ts";
import { builtIn, FakeMachine } from "../support/fake_machine.ts";
import { FakeVm } from "../support/fake_vm_side.ts";
import { median } from "./report.ts";

const REQUESTS = 4000;
const ROUNDS = 5;
const QUEUE = 128;
const BLOCK = 4096;
const DISK = 16 << 20;
const HEADERS = 0x8000;
const DATA = 0x20000;

interface Driver extends AsyncDisposable {
  readonly ring: FakeRing;
  kick(): void;
}

/** Microseconds a request. */
export async function measureRequests(
  folder: string,
  depth: number,
): Promise<{ worker: number; process: number }> {
  const path = `${folder}/block.img`;
  await Deno.writeFile(path, new Uint8Array(DISK));
  await using worker = await inWorker(path);
  await using process = await inProcess(folder, path);
  const times = { worker: [] as number[], process: [] as number[] };
  for (let round = 0; round < ROUNDS; round++) {
    times.worker.push(run(worker, depth));
    times.process.push(run(process, depth));
  }
  return { worker: median(times.worker), process: median(times.process) };
}

const options = (path: string) => ({ path, readOnly: true });
const grants = (path: string) => ({
  read: [path],
  write: [],
  net: [],
  env: [],
  run: [],
  import: [],
});

async function inWorker(path: string): Promise<Driver> {
  const memory = new GuestMemory(2 << 20);
  const machine = await FakeMachine.start({
    module: builtIn("block"),
    options: options(path),
    grants: grants(path),
    ram: memory.shared,
  });
  const ring = await machine.bringUp(QUEUE);
  return {
    ring,
    kick: () => machine.kick(0),
    [Symbol.asyncDispose]: async () => {
      await machine[Symbol.asyncDispose]();
      memory.close();
    },
  };
}

async function inProcess(folder: string, path: string): Promise<Driver> {
  const process = await DeviceProcess.spawn(folder, {
    module: builtIn("block"),
    options: options(path),
    grants: grants(path),
  });
  const vm = await FakeVm.start({
    connect: () => process.connect(),
    device: { id: 2, queues: [{ name: "q", size: 256 }], config: 60 },
  });
  await vm.negotiate();
  const ring = new FakeRing(vm.memory.shared, QUEUE);
  await vm.queue(ring);
  await vm.driverOk();
  return {
    ring,
    kick: () => vm.kick(),
    [Symbol.asyncDispose]: async () => {
      await vm[Symbol.asyncDispose]();
      await process[Symbol.asyncDispose]();
    },
  };
}

function run({ ring, kick }: Driver, depth: number): number {
  const begin = performance.now();
  let added = 0;
  let done = 0;
  while (done < REQUESTS) {
    while (added < REQUESTS && added - done < depth) {
      addRead(ring, added % depth, (added * BLOCK) % DISK);
      added++;
    }
    kick();
    const before = done;
    // Nothing else waits for this thread.
    while (done === before) done += ring.takeUsed().length;
  }
  return (performance.now() - begin) * 1e3 / REQUESTS;
}

function addRead(ring: FakeRing, slot: number, offset: number): void {
  const header = HEADERS + 32 * slot;
  ring.view.setUint32(header, 0, true);
  ring.view.setBigUint64(header + 8, BigInt(offset / 512), true);
  const data = DATA + BLOCK * slot;
  ring.add(
    { at: header, length: 16 },
    { at: data, length: BLOCK, write: true },
    { at: header + 16, length: 1, write: true },
  );
}
