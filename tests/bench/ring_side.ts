// What `ring.ts` runs for Paddock: `ring_side.ts FORMAT SHAPE CHAINS [bytes]` prints JSON as c/ring_loop.c does;
// with "bytes" it has no clock, and tells what the heap was asked for.
import { getHeapStatistics } from "node:v8";
import { splitRam } from "../../core/memory/ram_map.ts";
import { PackedQueue } from "../../core/virtio/packed_queue.ts";
import { RamView } from "../../core/virtio/ram_view.ts";
import { SplitQueue } from "../../core/virtio/split_queue.ts";
import type { Virtqueue } from "../../core/virtio/virtqueue.ts";
import { print } from "./paddock.ts";
import {
  type Format,
  RAM_SIZE,
  RingDriver,
  type Shape,
} from "./ring_driver.ts";

export interface RingSample {
  readonly chains: number;
  /** Of the device alone, a chain of the median batch. */
  readonly ns: number;
  readonly sum: number;
  /** Allocated on V8's heap meanwhile; only with "bytes". */
  readonly bytes?: number;
}

/** Pops and gives back until nothing is left; the number of chains. */
function serve(queue: Virtqueue): number {
  let done = 0;
  for (let chain; (chain = queue.pop()) !== null; done++) {
    queue.addUsed(chain, chain.capacity);
  }
  return done;
}

function check(done: number, batch: number): void {
  if (done !== batch) throw new Error(`${done} chains of ${batch} came`);
}

function timed(
  queue: Virtqueue,
  driver: RingDriver,
  total: number,
): RingSample {
  const batches = Math.ceil(total / driver.batch);
  const times = new Float64Array(batches);
  driver.sum = 0;
  for (let i = 0; i < batches; i++) {
    driver.offer();
    const start = performance.now();
    const done = serve(queue);
    times[i] = performance.now() - start;
    check(done, driver.batch);
    driver.collect();
  }
  const median = times.sort()[batches >> 1]!;
  const ns = median * 1e6 / driver.batch;
  return { chains: batches * driver.batch, ns, sum: driver.sum };
}

function counted(queue: Virtqueue, driver: RingDriver, total: number): number {
  const before = allocated();
  for (let chains = 0; chains < total; chains += driver.batch) {
    driver.offer();
    check(serve(queue), driver.batch);
    driver.collect();
  }
  return allocated() - before;
}

/** Bytes that this thread's heap has handed out since it began. */
function allocated(): number {
  const { total_allocated_bytes: bytes } = getHeapStatistics() as unknown as {
    total_allocated_bytes: number;
  };
  return bytes;
}

const [format, shape, chains, mode] = Deno.args as [
  Format,
  Shape,
  string,
  string?,
];
const buffer = new SharedArrayBuffer(RAM_SIZE);
const ram = new RamView({
  buffer,
  byteOffset: 0,
  size: RAM_SIZE,
  regions: splitRam(RAM_SIZE),
});
const driver = new RingDriver(buffer, format, shape);
const queue = format === "packed"
  ? new PackedQueue(ram, driver.setup)
  : new SplitQueue(ram, driver.setup);
// V8's compilers have to have come and gone.
timed(queue, driver, 1e6);
if (mode === "bytes") counted(queue, driver, 1e6);
const bytes = mode === "bytes" ? counted(queue, driver, +chains) : undefined;
print(JSON.stringify(
  bytes === undefined ? timed(queue, driver, +chains) : { bytes },
));
