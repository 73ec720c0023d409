// Takes it for granted that the driver uses its queue.
import { defineDevice } from "../../../core/plugin.ts";

export default defineDevice({
  id: 0x1234,
  queues: { requestq: 64 },
  create: ({ queue }) => ({
    queues: { requestq: null },
    activate: () => queue("requestq")!.flush(),
  }),
});
