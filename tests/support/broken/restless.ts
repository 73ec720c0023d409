// Goes on filling the driver's buffers while the VM is paused.
import { defineDevice, type DescriptorChain } from "../../../core/plugin.ts";

export default defineDevice({
  id: 0x1234,
  queues: { requestq: 64 },
  create() {
    const held: DescriptorChain[] = [];
    let ticks = 0;
    let timer: ReturnType<typeof setInterval> | undefined;
    return {
      queues: {
        requestq: {
          available(queue) {
            clearInterval(timer);
            for (let chain; (chain = queue.pop()) !== null;) held.push(chain);
            timer = setInterval(() => {
              // The last one is never given back.
              held.at(-1)?.writable.views()[0]?.fill(ticks++);
              if (held.length <= 1) return;
              queue.addUsed(held.shift()!, 0);
              queue.flush();
            }, 10);
          },
        },
      },
      reset() {
        clearInterval(timer);
        held.length = 0;
      },
    };
  },
});
