// The walks that are instantiated, numbers of the engine's own: one number for each format, and for each nested pair that an architecture has.
export const WALKER_VTD_SECOND: u32 = 1;
export const WALKER_VTD_FIRST: u32 = 2;
export const WALKER_VTD_NESTED: u32 = 3;
export const WALKER_AMD_V1: u32 = 20;
export const WALKER_AMD_V2: u32 = 21; // Mode 0 below: guest physical is physical
export const WALKER_AMD_NESTED: u32 = 22;
export const WALKER_VMSA_FIRST: u32 = 0x60;
export const WALKER_VMSA_SECOND: u32 = 0x61;
export const WALKER_VMSA_NESTED: u32 = 0x62;
export const WALKER_RISCV_FIRST: u32 = 0x40;
export const WALKER_RISCV_SECOND: u32 = 0x41;
export const WALKER_RISCV_NESTED: u32 = 0x42;
