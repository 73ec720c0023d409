// Gives chains back later, and tells nobody.
import { defineDevice } from "../../../core/plugin.ts";

export default defineDevice({
  id: 0x1234,
  queues: { requestq: 64 },
  create: () => ({
    queues: {
      requestq: {
        available(queue) {
          const chain = queue.pop();
          if (chain !== null) setTimeout(() => queue.addUsed(chain, 0), 5);
        },
      },
    },
  }),
});
