export { sparkline } from "../report/sparkline.ts";
