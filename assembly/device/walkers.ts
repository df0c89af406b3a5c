// The walks that are instantiated: one number for each format, and for each nested pair that an architecture has.
export const WALKER_VTD_SECOND: u32 = 1;
