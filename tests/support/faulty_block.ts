// A block device that throws at its Nth request, once: for tests of what becomes of a guest whose disk fails.
import block from "../../devices/block/mod.ts";
import { defineDevice } from "../../core/plugin.ts";

interface FaultyOptions {
  readonly path: string;
  readonly readOnly: boolean;
  readonly serial: string;
  readonly failAt: number;
}

// Outlives the driver's reset: the second life of the device goes well.
let requests = 0;

export default defineDevice<FaultyOptions>(async (context) => {
  const device = await block(context);
  const [queue] = device.queues;
  if (queue === undefined) throw new Error("the block device has no queue");
  return {
    ...device,
    queues: [{
      ...queue,
      handle(chain) {
        if (++requests === context.options.failAt) {
          throw new Error("faulty on purpose");
        }
        return queue.handle!(chain);
      },
    }],
  };
});
