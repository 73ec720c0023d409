// A block device that throws at its Nth request, once: for tests of what becomes of a guest whose disk fails.
import block from "../../devices/block/mod.ts";
import { options } from "../../devices/block/options.ts";
import { defineDevice } from "../../core/plugin.ts";

// Outlives the driver's reset: the second life of the device goes well.
let requests = 0;

export default defineDevice({
  ...block,
  options: {
    ...options,
    failAt: {
      type: "integer",
      min: 1,
      max: 1e6,
      description: "the number of the request that fails",
    },
  },
  async create(context) {
    const device = await block.create(context);
    const { requestq } = device.queues;
    if (requestq === null || !("handle" in requestq)) {
      throw new Error("the block device's queue is not a ServedQueue");
    }
    return {
      ...device,
      queues: {
        requestq: {
          ...requestq,
          handle(chain, signal) {
            if (++requests === context.options.failAt) {
              throw new Error("faulty on purpose");
            }
            return requestq.handle(chain, signal);
          },
        },
      },
    };
  },
});
