// Forgets where in RAM a view begins.
import { defineDevice } from "../../../core/plugin.ts";

export default defineDevice({
  id: 0x1234,
  queues: { requestq: 64 },
  create: () => ({
    queues: {
      requestq({ writable }) {
        const [view] = writable.views();
        if (view !== undefined) new Uint8Array(view.buffer).fill(1, 0, 8);
        return 0;
      },
    },
  }),
});
