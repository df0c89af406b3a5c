// Every number that both compilers must agree on: asc reads this file for the engine, tsc for ts/engine.
// Untyped constants only, since a `u32` annotation means nothing to tsc; offsets are the previous plus its size.

// ---- events: values of the columns of a recorded run
export const EVENT_DMA = 1;
export const EVENT_MAP = 2;
export const EVENT_UNMAP = 3;
export const EVENT_INVALIDATE = 4;
export const EVENT_FAULT = 5; // a DMA that the recorder saw fault

// ---- kinds of access; ANY is legal when read or write is, for recorders that do not say
export const ACCESS_READ = 1;
export const ACCESS_WRITE = 2;
export const ACCESS_EXECUTE = 4;
export const ACCESS_ANY = 8;
export const ACCESS_PRIVILEGED = 16; // the request asks for supervisor privilege
export const ACCESS_IMPLICIT = 32; // the engine's own: stage 2 is asked for a table of stage 1
// type of the request (PCIe address type), two bits; 0 untranslated
export const ACCESS_TYPE_SHIFT = 6;
export const ACCESS_TRANSLATION = 64; // an ATS translation request
export const ACCESS_TRANSLATED = 128;
export const ACCESS_DEVICE = 192; // as a device with a device-TLB makes it: look there, ask for a translation, use it
export const ACCESS_NO_WRITE = 256; // a translation request with No Write
export const ACCESS_NO_PAGE_REQUEST = 512; // ACCESS_DEVICE: a page that is not there is a fault
// of ACCESS_DEVICE, 21:16: how many pages after that of the address belong into its page request group
export const ACCESS_SPAN_SHIFT = 16;
export const ACCESS_SPAN_MASK = 63;
export const ACCESS_UNCHECKED = 1024; // the engine's own: a walk reports rights, and refuses nobody for them
export const ACCESS_MAY_WRITE = 2048; // the engine's own, with it: a page that may be written is made dirty

// ---- permissions of a translation: user bits as ACCESS_*, the same for a privileged requester three bits up
export const PERM_PRIVILEGED_SHIFT = 3;

// ---- scope of an invalidation
export const INV_GLOBAL = 0;
export const INV_DOMAIN = 1;
export const INV_PAGE = 2;
export const INV_DEVICE = 3;
export const INV_PASID = 4;
export const INV_PASID_PAGE = 5;
export const INV_PROCESS = 6; // the requester's cached entry of one PASID
export const INV_DEVICES = 7; // requesters `first` to `last`

// caches that an invalidation reaches
export const INV_CACHE_IOTLB = 1; // IOTLB and, unless INV_LEAF_ONLY, the paging-structure caches
export const INV_CACHE_CONTEXT = 2;
export const INV_CACHE_PASID = 4;
export const INV_LEAF_ONLY = 16; // paging-structure caches stay (VT-d invalidation hint)
export const INV_TABLES_ONLY = 32; // the IOTLB stays: runs that ask what its invalidations cost
export const INV_FIRST = 64; // only what a first stage made, nested or not
export const INV_SECOND = 128; // only what a second stage made alone
export const INV_HOST = 256; // with INV_FIRST: only what has no second stage, whatever the domain
export const INV_ANY_SPACE = 512; // with a page of a PASID: of every PASID of the domain

// ---- the recorder's own cache verdict
export const VERDICT_NONE = 0;
export const VERDICT_HIT = 1;
export const VERDICT_MISS = 2;

// ---- "no PASID on this request"; PASIDs have 20 bits
export const NO_PASID = 0xffffffff;

// ---- architectures of an IOMMU unit
export const ARCH_VTD = 1;
export const ARCH_SMMUV3 = 2;
export const ARCH_AMDVI = 3;
export const ARCH_RISCV = 4;
export const ARCH_PAPR = 5;

// ---- registers of a unit, by architecture (what they hold: the device file)
export const VTD_ROOT = 0;
export const VTD_CAP = 1;
export const VTD_ECAP = 2;
export const VTD_HAW = 3;
export const VTD_STATUS = 4;
// registers of the command queues, from the 17th on
export const VTD_IQA = 16;
export const VTD_IQH = 17;
export const VTD_IQT = 18;
export const VTD_FAULT_STATUS = 19;
export const VTD_COMPLETION = 20; // ICS_REG
export const VTD_QUEUE_ERROR = 21; // IQERCD_REG
export const VTD_PAGE_STATUS = 22; // PRS_REG
export const AMDVI_COMMAND_BASE = 16;
export const AMDVI_COMMAND_HEAD = 17;
export const AMDVI_COMMAND_TAIL = 18;
export const AMDVI_STATUS = 19;
export const SMMU_CMDQ_BASE = 16;
export const SMMU_CMDQ_PROD = 17;
export const SMMU_CMDQ_CONS = 18;
export const SMMU_GERROR = 19;
export const SMMU_GERRORN = 20;
export const SMMU_PRIQ_PROD = 21; // the overflow flags of these two: entries are taken by takePageRequest
export const SMMU_PRIQ_CONS = 22;
export const RISCV_CQB = 16;
export const RISCV_CQH = 17;
export const RISCV_CQT = 18;
export const RISCV_CQCSR = 19;
export const RISCV_PQCSR = 20;
export const AMDVI_DEVICE_TABLE = 0;
export const AMDVI_CONTROL = 1;
export const AMDVI_EXCLUSION_BASE = 2;
export const AMDVI_EXCLUSION_LIMIT = 3;
export const AMDVI_FEATURES = 4;
export const AMDVI_ADDRESS_BITS = 5;
export const AMDVI_SEGMENT = 6; // segments 1 to 7 of the device table
export const AMDVI_REPORT = 13; // the engine's own: what the next event says
export const SMMU_IDR0 = 0;
export const SMMU_IDR1 = 1;
export const SMMU_IDR3 = 2;
export const SMMU_IDR5 = 3;
export const SMMU_CR0 = 4;
export const SMMU_CR2 = 5;
export const SMMU_GBPA = 6;
export const SMMU_STRTAB_BASE = 7;
export const SMMU_STRTAB_BASE_CFG = 8;
export const SMMU_REPORT = 9; // the engine's own, with the next: what the next event says, and its IPA or FetchAddr
export const SMMU_REPORT_ADDRESS = 10;
export const RISCV_CAPABILITIES = 0;
export const RISCV_FCTL = 1;
export const RISCV_DDTP = 2;
export const RISCV_GXL_WRITABLE = 3; // the engine's own, 0 or 1: fctl.GXL can be written
export const RISCV_BE_WRITABLE = 4; // and fctl.BE
export const RISCV_RCID_BITS = 5; // widths of the QoS identifiers
export const RISCV_MCID_BITS = 6;
export const RISCV_DEFAULTED = 7; // the engine's own: the route in hand is the default process's (DC.tc.DPE)
export const PAPR_RTT = 0; // bit 63: enabled
export const PAPR_TVT = 1;
export const PAPR_PEST = 2;
export const PAPR_PES = 3; // how many partitionable endpoints there are
export const PAPR_CONTROL = 4;
export const PAPR_STOPS = 1; // of PAPR_CONTROL: a fault stops DMA of its PE
export const PAPR_CHANGES = 2; // writes mark the TCEs that they use

// ---- page-table formats
export const FORMAT_VTD_SECOND = 1;
// flags of their geometries
export const VTD_SECOND_SNOOP = 1; // ECAP_REG.SC: bit 11 of a leaf is SNP
export const VTD_SECOND_TRANSIENT = 2; // ECAP_REG.DT: bit 62 of a leaf is TM
export const VTD_SECOND_TRACKS = 4; // SSADE: hardware sets A and D
export const VTD_SECOND_EXECUTE = 8; // SSEE: bit 2 permits execute
export const VTD_SECOND_UNSNOOPED = 16; // an A or D update that is due cannot be made
export const FORMAT_VTD_FIRST = 2;
export const VTD_FIRST_EXTENDED = 1; // EAFE: hardware sets EA with A
export const VTD_FIRST_WRITE_PROTECT = 2; // WPE: R/W binds a supervisor too
export const VTD_FIRST_EXECUTE = 4; // ECAP_REG.ERS: XD has a meaning
export const VTD_FIRST_NO_EXECUTE = 8; // NXE: XD forbids execute, or it is reserved
export const VTD_FIRST_SMEP = 16; // a supervisor executes no user page
export const VTD_FIRST_UNSNOOPED = 32; // an A or D update that is due cannot be made
export const VTD_FIRST_NESTED = 64; // over a second stage
export const FORMAT_AMD_V1 = 20;
export const AMD_V1_READ = 1; // DTE.IR
export const AMD_V1_WRITE = 2; // DTE.IW
export const AMD_V1_ACCESSED = 4; // hardware sets A in every entry
export const AMD_V1_DIRTY = 8; // and D in pages that are written
export const FORMAT_AMD_V2 = 21;
export const AMD_V2_NX = 1; // EFR.NXSup
export const AMD_V2_US = 2; // EFR.USSup
export const AMD_V2_ACCESSED = 4;
export const AMD_V2_DIRTY = 8;
export const FORMAT_VMSA_FIRST = 0x60; // VMSAv8-64
export const FORMAT_VMSA_SECOND = 0x61;
export const VMSA_BIG_ENDIAN = 1; // CD.ENDI, STE.S2ENDI
export const VMSA_ACCESSED = 2; // CD.HA, STE.S2HA
export const VMSA_DIRTY = 4; // with it CD.HD, STE.S2HD
export const VMSA_AFFD = 8; // AF = 0 counts as 1
export const VMSA_DS = 16; // 52-bit descriptors of granules below 64K
export const VMSA_PA52 = 32; // 52-bit descriptors of the 64K granule
export const VMSA_UPPER = 64; // the range of TTB1
export const VMSA_TBI = 128;
export const VMSA_NO_WALK = 256; // CD.EPDx
export const VMSA_E0PD = 512;
export const VMSA_HAD = 1024; // table bits of rights are ignored
export const VMSA_WXN = 2048;
export const VMSA_PAN = 4096;
export const VMSA_EPAN = 8192;
export const VMSA_PRIVILEGES = 16384; // EL1 and EL2-E2H: two privileges, two ranges, ASIDs
export const VMSA_XNX = 32768; // stage 2, from here
export const VMSA_PTW = 65536;
export const VMSA_FWB = 131072;
export const FORMAT_RISCV_SV = 0x40; // Sv39, Sv48, Sv57 and their x4 forms, by `top`
export const FORMAT_RISCV_SV32 = 0x41;
export const RISCV_SV_X4 = 1; // a second stage
export const RISCV_SV_SUM = 2; // PC.ta.SUM
export const RISCV_SV_UPDATE = 4; // hardware sets A and D (SADE, GADE)
export const RISCV_SV_BIG_ENDIAN = 8;
export const RISCV_SV_PBMT = 16; // capabilities.Svpbmt
export const RISCV_SV_RSW60 = 32; // capabilities.Svrsw60t59b
export const RISCV_SV_TABLES = 64; // a second stage as walks for first-stage tables see it: D is set with A
export const RISCV_SV_DIRTIES = 128; // the same under SADE: D is wanted
// attributes of their leaves, and of whole translations
export const RISCV_ATTRIBUTE_PBMT = 3; // 0 PMA, 1 NC, 2 IO
export const RISCV_ATTRIBUTE_USER = 4;
export const RISCV_ATTRIBUTE_GLOBAL = 8;
export const RISCV_ATTRIBUTE_RIGHTS_SHIFT = 4; // R, W, X of the entries, as ACCESS_*
export const RISCV_ATTRIBUTE_NAPOT = 128;
export const RISCV_ATTRIBUTE_MSI = 256;
export const RISCV_ATTRIBUTE_MRIF = 512; // RESULT_VALUE: the interrupt file, RESULT_VALUE2: the notice's identity
export const RISCV_ATTRIBUTE_WIDE = 1024; // the leaf goes beyond the 34 bits of a guest address under SXL
export const FORMAT_TCE = 0x80;
export const TCE_CHANGES = 1; // PAPR_CHANGES

// ---- what a route does
export const ROUTE_BLOCKED = 0;
export const ROUTE_BYPASS = 1;
export const ROUTE_FIRST = 2;
export const ROUTE_SECOND = 3;
export const ROUTE_NESTED = 4;

// ---- physical memory regions: {start u64, last u64, kind u32, flags u32, pointer u32, index u32}
export const REGION_START = 0;
export const REGION_LAST = REGION_START + 8;
export const REGION_KIND = REGION_LAST + 8;
export const REGION_FLAGS = REGION_KIND + 4;
export const REGION_POINTER = REGION_FLAGS + 4;
export const REGION_INDEX = REGION_POINTER + 4;
export const REGION_BYTES = REGION_INDEX + 4;
export const REGION_LINEAR = 0; // bytes of linear memory at REGION_POINTER
export const REGION_SPARSE = 1; // 4 KiB pages of the engine's pool, taken when first written; reads as zero before
export const REGION_HOST = 2; // behind the host's callbacks, named by REGION_INDEX
export const REGION_WRITABLE = 1;
export const REGION_POISON = 2; // reads answer "poisoned data"

// ---- why an access to physical memory was refused
export const MEMORY_OK = 0;
export const MEMORY_ABSENT = 1;
export const MEMORY_POISON = 2;
export const MEMORY_READ_ONLY = 3;
export const MEMORY_NO_PAGE = 4; // the sparse pool is used up

export const FRAME_BYTES = 4096;
export const FRAME_META_BYTES = 4; // per 4 KiB frame: entries in use, or the next free block
export const SPARSE_SLOT_BYTES = 16; // hash slot of a sparse page
export const SCRATCH_BYTES = 4096; // host-callback values, paths of an edit

// ---- sizes of the engine's own records (checked against the classes when the engine is compiled)
export const ENGINE_BYTES = 512;
export const GEOMETRY_BYTES = 64;
export const ROUTE_BYTES = 256;
export const DEVICE_ENTRY_BYTES = ROUTE_BYTES + 256;

// ---- an associative cache: five u64 counters first, then private state
export const CACHE_HITS = 0;
export const CACHE_MISSES = CACHE_HITS + 8;
export const CACHE_FILLS = CACHE_MISSES + 8;
export const CACHE_EVICTIONS = CACHE_FILLS + 8;
export const CACHE_INVALIDATIONS = CACHE_EVICTIONS + 8;
export const CACHE_BYTES = 448;
export const CACHE_ENTRY_BYTES = 32;
export const CACHE_LINK_BYTES = 12; // per entry of an indexed cache: hash chain, list before, list after
export const CACHE_BUCKET_BYTES = 4;
export const CACHE_LINEAR_WAYS = 8; // more ways than this are found through a hash index
export const POLICY_LRU = 0;
export const POLICY_PLRU = 1;
export const POLICY_FIFO = 2;
export const POLICY_RANDOM = 3;
export const POLICY_CLEAR = 4; // the set empties itself before the insert that would exceed it

// ---- caches of a unit, by index
export const CACHE_IOTLB = 0;
export const CACHE_CONTEXT = 1;
export const CACHE_PASID = 2;
export const CACHE_WALK_FIRST = 3; // + level of the table that the entry points to, 0 to 5
export const CACHE_WALK_SECOND = CACHE_WALK_FIRST + 6;
export const CACHE_SECOND = CACHE_WALK_SECOND + 6; // pages of the second stage under guest physical addresses, for nested walks
export const CACHE_KINDS = CACHE_SECOND + 1;

// ---- a unit: public counters (u64) first
export const UNIT_TRANSLATIONS = 0;
export const UNIT_FAULTS = UNIT_TRANSLATIONS + 8;
export const UNIT_FAULTS_LOST = UNIT_FAULTS + 8;
export const UNIT_REFERENCES = UNIT_FAULTS_LOST + 8; // [stage 0 first, 1 second, 2 device tables][level 0 to 7]
export const UNIT_PUBLIC_END = UNIT_REFERENCES + 3 * 8 * 8;
export const UNIT_BYTES = 2048;
export const UNIT_REGISTERS = 32; // u64 registers of the architecture, see each device file

// behaviour of a unit's IOTLB that some implementations have
export const UNIT_SOURCE_TAG = 1; // IOTLB entries carry the RID too
export const UNIT_PAGE_LOW8 = 2; // page invalidation compares the low 8 bits of the page number (QEMU before 8.0)

export const STAGE_FIRST = 0;
export const STAGE_SECOND = 1;
export const STAGE_TABLES = 2;

// ---- fault ring: one slot holds the architecture's own record, padded
export const FAULT_SLOT_BYTES = 32;

// ---- ATS: device-TLBs, page requests
export const ATS_BYTES = 64;
export const ATS_QUEUED = 0; // u64 page requests that were put into the queue
export const ATS_LOST = ATS_QUEUED + 8; // u64 page requests that found it full
export const ATS_DEVICE_BYTES = 8; // {RID + 1, cache}
export const PAGE_REQUEST_BYTES = 32; // a slot of the queue: the architecture's own record, padded
export const GROUP_BYTES = 32; // a page request group that waits, of at most 64 pages
export const MOST_GROUPS = 512; // a group index has 9 bits
export const NO_GROUP = 0xffffffff; // the hardware answered by itself: the queue is full
// PASID of a device-TLB invalidation beside a PASID and NO_PASID (entries without one)
export const EVERY_PASID = 0xfffffffe;
export const EVERY_DEVICE = 0xffffffff;
// response code of a page request group (PCIe 10.4.2.1)
export const RESPONSE_SUCCESS = 0;
export const RESPONSE_INVALID = 1;
export const RESPONSE_FAILURE = 15;

// ---- result of one translation
export const RESULT_STATUS = 0; // u32 STATUS_*
export const RESULT_FAULT = RESULT_STATUS + 4; // u32 the architecture's code
export const RESULT_PA = RESULT_FAULT + 4; // u64
export const RESULT_SIZE_LG2 = RESULT_PA + 8; // u32 lg2 of the bytes that the answer holds for
export const RESULT_PERMISSIONS = RESULT_SIZE_LG2 + 4; // u32 ACCESS_* mask for this requester
export const RESULT_HIT = RESULT_PERMISSIONS + 4; // u32 HIT_*
export const RESULT_REFERENCES = RESULT_HIT + 4; // u32 memory references made
export const RESULT_ATTRIBUTES = RESULT_REFERENCES + 4; // u32 memory attributes of the leaf, format's own
export const RESULT_OUTCOME = RESULT_ATTRIBUTES + 4; // u32 OUTCOME_* of the walk
export const RESULT_STAGE = RESULT_OUTCOME + 4; // u32 STAGE_* that faulted
export const RESULT_LEVEL = RESULT_STAGE + 4; // u32 level of the entry that decided
export const RESULT_ENTRY = RESULT_LEVEL + 4; // u64 the entry
export const RESULT_ENTRY_ADDRESS = RESULT_ENTRY + 8; // u64 where it lies
export const RESULT_VALUE = RESULT_ENTRY_ADDRESS + 8; // u64 the architecture's first reported address
export const RESULT_VALUE2 = RESULT_VALUE + 8; // u64 its second
export const RESULT_FLAGS = RESULT_VALUE2 + 8; // u32 RESULT_*
export const RESULT_GROUP = RESULT_FLAGS + 4; // u32 page request group
// of a translation request: completion status (PCIe), and the completion's data entry
export const RESULT_COMPLETION = RESULT_GROUP + 4; // u32 COMPLETION_*
export const RESULT_COMPLETION_ENTRY = RESULT_COMPLETION + 4; // u64
export const RESULT_BYTES = RESULT_COMPLETION_ENTRY + 8;

export const COMPLETION_SUCCESS = 0;
export const COMPLETION_UNSUPPORTED = 1; // Unsupported Request
export const COMPLETION_ABORT = 4; // Completer Abort
// translation completion data entry (PCIe 10.2.3.2): 0 R, 1 W, 2 U, 3 Exe, 4 Priv, 5 Global, 10 N, 11 S, 63:12 address
export const ENTRY_READ = 1;
export const ENTRY_WRITE = 2;
export const ENTRY_UNTRANSLATED_ONLY = 4;
export const ENTRY_EXECUTE = 8;
export const ENTRY_PRIVILEGED = 16;
export const ENTRY_GLOBAL = 32;
export const ENTRY_SNOOP = 1024; // N: translated requests must not say No Snoop
export const ENTRY_SIZE = 2048; // S: larger than 4 KiB, by the lowest zero of the address

export const RESULT_NOT_RECORDED = 1; // the fault is raised but kept out of the ring (FPD, DTF ...)
export const RESULT_DEFAULT_PASID = 2; // a request without PASID that counts as one of PASID 0 (RISC-V DPE)

export const STATUS_TRANSLATED = 0;
export const STATUS_FAULT = 1;
export const STATUS_PAGE_REQUEST = 2;
export const STATUS_INTERRUPT = 3;
export const STATUS_CROSSES = 4; // the length leaves the 4 KiB page: translate it in slices

export const HIT_NONE = 0; // walked
export const HIT_IOTLB = 1;
export const HIT_DEVICE_TLB = 2;
export const HIT_BYPASS = 3; // no translation asked for by the device tables

// ---- the trace of one translation: records of TRACE_BYTES (assembly/trace.ts)
export const TRACE_ADDRESS = 0; // u64 physical address; of TRACE_WALK the input
export const TRACE_VALUE = TRACE_ADDRESS + 8; // u64 the entry in its own byte order undone; of TRACE_WALK the root
export const TRACE_WHAT = TRACE_VALUE + 8; // u32
export const TRACE_STAGE = TRACE_WHAT + 4; // u32 STAGE_*
export const TRACE_LEVEL = TRACE_STAGE + 4; // u32
export const TRACE_SIZE = TRACE_LEVEL + 4; // u32 bytes of the reference
export const TRACE_GEOMETRY = TRACE_SIZE + 4; // u32 pointer to the walk's geometry
export const TRACE_DETAIL = TRACE_GEOMETRY + 4; // u32 7:0 ENTRY_* or CACHE_*, 15:8 MEMORY_* of a refused reference
export const TRACE_BYTES = TRACE_DETAIL + 4;
export const TRACE_RECORDS = 256; // more than the bound on references (walk.ts) with device tables, updates and notes
export const TRACE_READ = 1;
export const TRACE_WRITE = 2; // an A or D update
export const TRACE_CACHED = 3; // a cache (CACHE_*) answered
export const TRACE_WALK = 4; // a page-table walk starts
export const TRACE_PHASE = 5; // what follows decodes a device entry (CACHE_CONTEXT), a PASID entry (CACHE_PASID), or walks the route (CACHE_IOTLB)
// ---- answer of one command of a unit's queue, where translations leave their result
export const COMMAND_STATUS = 0; // u32 COMMAND_*
export const COMMAND_CODE = COMMAND_STATUS + 4; // u32 the architecture's error code
export const COMMAND_ADDRESS = COMMAND_CODE + 4; // u64 what a wait or fence asks to be written
export const COMMAND_DATA = COMMAND_ADDRESS + 8; // u64
export const COMMAND_BYTES = COMMAND_DATA + 8; // u32 bytes of it: 0 none, 4 or 8
export const COMMAND_INTERRUPT = COMMAND_BYTES + 4; // u32 1: an interrupt is asked for
export const COMMAND_COUNT = COMMAND_INTERRUPT + 4; // u32 commands that processQueue took

export const COMMAND_DONE = 0;
export const COMMAND_ILLEGAL = 1;
export const QUEUE_EMPTY = 0;
export const QUEUE_ERROR = 1;
export const QUEUE_BOUND = 2; // as many commands as were allowed
export const QUEUE_OFF = 3; // not switched on, or stopped by an earlier error

// ---- how a page-table walk ends, in words that all formats share
export const OUTCOME_TRANSLATED = 0;
export const OUTCOME_NOT_PRESENT = 1;
export const OUTCOME_RESERVED = 2;
export const OUTCOME_NO_READ = 3;
export const OUTCOME_NO_WRITE = 4;
export const OUTCOME_NO_EXECUTE = 5;
export const OUTCOME_NO_USER = 6;
export const OUTCOME_ADDRESS_SIZE = 7; // the input address is too wide or not canonical
export const OUTCOME_OUTPUT_SIZE = 8; // an address in an entry is too wide
export const OUTCOME_ACCESS_ERROR = 9;
export const OUTCOME_POISON = 10;
export const OUTCOME_UPDATE_REFUSED = 11;

// ---- how an edit of a page table ends
export const EDIT_OK = 0;
export const EDIT_EXISTS = 1; // something is mapped in the range
export const EDIT_NO_FRAME = 2;
export const EDIT_ALIGNMENT = 3; // below the format's smallest leaf
export const EDIT_RANGE = 4; // beyond the table's input or output width
export const EDIT_PERMISSION = 5; // the format cannot express the permissions
export const EDIT_FORMAT = 6;

// ---- dirty pages of a kernel-built table, in the scratch memory
export const DIRTY_BASE = 8; // u64
export const DIRTY_NEXT = 16; // u64
export const DIRTY_BITMAP = 2560; // a bit for each of the smallest pages from the base up
export const DIRTY_BITMAP_BYTES = 512;
export const DIRTY_KEEP = 1; // read without clearing

export const MAP_REPLACE = 1; // replace what is mapped instead of EDIT_EXISTS

// ---- a kernel-built page table
export const TABLE_GEOMETRY = 0;
export const TABLE_MAPPED = TABLE_GEOMETRY + GEOMETRY_BYTES; // u64 bytes mapped
export const TABLE_LEAVES = TABLE_MAPPED + 8; // u64 mask of lg2 leaf sizes in use by edits
export const TABLE_FRAMES = TABLE_LEAVES + 8; // u32 4 KiB frames held
export const TABLE_REPLACED = TABLE_FRAMES + 4; // u32 items removed by MAP_REPLACE
export const TABLE_DONE = TABLE_REPLACED + 4; // u64 bytes of the last edit
export const TABLE_KEEP = TABLE_DONE + 8; // u32: tables that become empty stay where they are, as Linux keeps them
export const TABLE_BYTES = TABLE_KEEP + 8;

// ---- geometry of a page table: how a walk of it starts
export const GEOMETRY_ROOT = 0; // u64
export const GEOMETRY_LEAVES = GEOMETRY_ROOT + 8; // u64 mask of lg2 leaf sizes that the unit accepts
export const GEOMETRY_FORMAT = GEOMETRY_LEAVES + 8; // u32 FORMAT_*
export const GEOMETRY_TOP = GEOMETRY_FORMAT + 4; // u32 level of the first table; level 0 holds the smallest leaves
export const GEOMETRY_INPUT_BITS = GEOMETRY_TOP + 4; // u32
export const GEOMETRY_OUTPUT_BITS = GEOMETRY_INPUT_BITS + 4; // u32
export const GEOMETRY_FLAGS = GEOMETRY_OUTPUT_BITS + 4; // u32, the format's own
export const GEOMETRY_GRANULE = GEOMETRY_FLAGS + 4; // u32 lg2 of the smallest leaf
export const GEOMETRY_EXTRA = GEOMETRY_GRANULE + 4; // u64, the format's own

// ---- batch of requests: columns, one after another, each `capacity` long
export const BATCH_REQUEST_BYTES = 8 + 4 + 4 + 4; // iova u64, rid u32, pasid u32, access u32
export const BATCH_ANSWER_BYTES = 8 + 4; // pa u64, word u32
// the answer word: status, fault code, hit, lg2 size
export const WORD_FAULT_SHIFT = 4;
export const WORD_FAULT_MASK = 0xfff;
export const WORD_HIT_SHIFT = 16;
export const WORD_SIZE_SHIFT = 20;

// ---- events of a recorded run: columns, one after another, each `capacity` long
// iova u64, size u64, pa u64 | answer pa u64 | id u32, pasid u32, cost f32 | kind u8, flags u8, verdict u8, answer u8, code u16,
// leaf u8, rights u8
export const EVENTS_U64_COLUMNS = 4;
export const EVENTS_U32_COLUMNS = 3;
export const EVENTS_BYTES = 8 * EVENTS_U64_COLUMNS + 4 * EVENTS_U32_COLUMNS + 4 + 2 + 2;

// answer byte of a dma or fault event
export const ANSWER_MATCHED = 1;
export const ANSWER_WRONG = 2; // both sides answered, differently
export const ANSWER_UNEXPLAINED = 3; // one side faulted, the other did not
export const ANSWER_KIND_MASK = 3;
export const ANSWER_HIT = 4;
export const ANSWER_STALE = 8; // a cache answered what the table no longer gives
export const ANSWER_FAULT = 16;
export const ANSWER_VERDICT = 32; // the recorder's cache verdict differs
export const ANSWER_DEVICE_TLB = 64; // the device's own TLB answered: the IOTLB was not asked
// answer byte of a map or unmap event
export const ANSWER_EDITED = 1;
export const ANSWER_REFUSED = 2; // the edit failed: code column holds EDIT_*
export const ANSWER_EMPTY = 4; // unmap of a range with holes
export const ANSWER_REPLACED = 8; // map over mapped pages

export const RUN_IGNORE_INVALIDATIONS = 1; // of the IOTLB; stale table pointers would answer nonsense
export const RUN_VERIFY = 2; // check every cached answer against the table
export const RUN_PREFETCH = 8; // a walk fetches the next page's translation too
export const RUN_COSTS = 4; // fill the cost column from the table of costs
export const RUN_DEVICE_TLB = 16; // requests are those of devices with a TLB of their own; invalidations reach these too
export const RUN_PROCESS_TAGS = 32; // with RUN_DEVICE_TLB: invalidations name a device's domain as a PASID of domain 0

// costs of a request, all f64: [stage 0 first, 1 second, 2 device tables][level 0 to 7] of one memory reference, then of
// what is paid without any
export const COST_REFERENCES = 0;
export const COST_HIT = COST_REFERENCES + 3 * 8 * 8; // an answer of the IOTLB
export const COST_OTHER = COST_HIT + 8; // every other request, on top of its references
export const COST_DEVICE_TLB = COST_OTHER + 8; // an answer of a device's own TLB
export const COST_TABLE_BYTES = COST_DEVICE_TLB + 8;

// ---- per-device state of a run
export const RUN_DEVICE_RID = 0; // u32
export const RUN_DEVICE_TABLE = RUN_DEVICE_RID + 4; // u32 pointer to the table record
export const RUN_DEVICE_DMA = RUN_DEVICE_TABLE + 4; // u64 counters from here
export const RUN_DEVICE_HITS = RUN_DEVICE_DMA + 8;
export const RUN_DEVICE_MISSES = RUN_DEVICE_HITS + 8;
export const RUN_DEVICE_REFERENCES = RUN_DEVICE_MISSES + 8;
export const RUN_DEVICE_FAULTS = RUN_DEVICE_REFERENCES + 8;
export const RUN_DEVICE_MATCHED = RUN_DEVICE_FAULTS + 8;
export const RUN_DEVICE_WRONG = RUN_DEVICE_MATCHED + 8;
export const RUN_DEVICE_UNEXPLAINED = RUN_DEVICE_WRONG + 8;
export const RUN_DEVICE_STALE = RUN_DEVICE_UNEXPLAINED + 8;
export const RUN_DEVICE_PEAK = RUN_DEVICE_STALE + 8;
export const RUN_DEVICE_PREFETCHES = RUN_DEVICE_PEAK + 8;
export const RUN_DEVICE_PREFETCH_REFERENCES = RUN_DEVICE_PREFETCHES + 8;
export const RUN_DEVICE_TLB_HITS = RUN_DEVICE_PREFETCH_REFERENCES + 8;
export const RUN_DEVICE_TLB_REQUESTS = RUN_DEVICE_TLB_HITS + 8; // translation requests
export const RUN_DEVICE_TLB_INVALIDATIONS = RUN_DEVICE_TLB_REQUESTS + 8; // Invalidate Requests to the device
export const RUN_DEVICE_DOMAIN = RUN_DEVICE_TLB_INVALIDATIONS + 8; // u64, as invalidations name it
export const RUN_DEVICE_BYTES = RUN_DEVICE_DOMAIN + 8;
