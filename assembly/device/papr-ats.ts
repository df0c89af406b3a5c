// A PAPR bridge answers no translation request and takes no translated one: both end as a request that it does not know.
import { COMPLETION_UNSUPPORTED } from "../layout";
import { AtsRules, COMPLETION_QUIET } from "./ats-rules";
import { WITH_PASID } from "./papr";

@unmanaged @final
export class PaprAts extends AtsRules {
  @inline refuseUnit(unit: usize, rid: u32, pasid: u32, access: u32): u32 { return WITH_PASID; }
  @inline completion(unit: usize, code: u32): u32 { return COMPLETION_UNSUPPORTED | COMPLETION_QUIET; }
  @inline quietTranslated(unit: usize, code: u32): bool { return true; }
}
