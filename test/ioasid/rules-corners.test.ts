/** Where two rules of scenarios/ioasid.md meet, or a refusal comes late: what was there stays. */
import { describe } from "vitest";
import { ALL, flow, flows, HARDWARE } from "./flow.ts";

const V2 = (kind = "vtd", more = "") => `
	mmu = iommu ${kind} ${more}
	ram = mem 0x40000000 0x40000000
	fd = open iommu
`;
const V1 = `
	mmu = iommu vtd
	ram = mem 0x40000000 0x40000000
	fd = open ioasid
	d = device mmu vfio-pci
	bind d
	a = ioasid_alloc
	attach d a
`;
const GPA = "gpa = ioasid_alloc\nmap gpa 0x40000000 0x40000000 iova=0";
/** A guest's table at 0x100000 of its memory. */
const TABLE = (kind: string) => `
	t = pt_new ${kind} 0x40000000 0x100000 0x110000
	u = ioasid_alloc kind=user parent=gpa user_pgtable={format:${kind},addr:0x100000}
`;

describe("the hypercall that maps", () => {
	const CHILD = `
		${V2("ppc")}
		d = device mmu vfio-pci
		s = device mmu mdev-sw
		bind d
		bind s
		g = ioasid_alloc
		map g 0x40000000 0x10000 iova=0
		t = ioasid_alloc parent=g windows
		w = window_create t 0x100000 0x1000 base=0
		attach d t
		attach s t hints=no_auto_pin
		v = vm
		kvm_add_liobn v 7 t
	`;
	flow("a refused page leaves the map, its pins and its dirt", `
		${CHILD}
		map t 0 0x4000 iova=0x8000
		p = access_pin s 0xa000 0x1000
		dirty_start t
		dma_write d 0xa000 4 9
		h_put_tce v 7 0xa000 0x20000 !error
		xlate d 0x9000 => hva:0x40001000
		xlate d 0xa000 => hva:0x40002000
		xlate d 0xb000 => hva:0x40003000
		unmap t 0xa000 0x1000 !EINVAL
		access_notified s => ranges:[]
		access_unpin s p
		dirty_get t 0x8000 0x4000 0x1000 => bits:[2]
		h_put_tce v 7 0xa000 0x5000
		xlate d 0xa000 => hva:0x40005000
		xlate d 0xb000 => hva:0x40003000
	`, { options: { swChildMap: "eager", dirtyTracking: true } });
	flow("a LIOBN ends with its child, and names the next; a root has none", `
		${CHILD}
		h_put_tce v 7 0 0x1000
		detach d t
		detach s t
		kvm_add_liobn v 8 g !error
		kvm_add_liobn v 7 t !error
		ioasid_free t
		h_put_tce v 7 0x1000 0x1000 !error
		u = ioasid_alloc parent=g windows
		w2 = window_create u 0x10000 0x1000 base=0
		kvm_add_liobn v 7 u
		attach d u
		h_put_tce v 7 0x1000 0x2000
		xlate d 0x1008 => hva:0x40002008
	`);
	flow("a LIOBN of a closed file maps nothing", `
		${V2("ppc")}
		g = ioasid_alloc
		t = ioasid_alloc parent=g windows
		w = window_create t 0x10000 0x1000 base=0
		v = vm
		kvm_add_liobn v 7 t
		close fd
		h_put_tce v 7 0 0 !error
	`);
	flow("it passes the gates of MAP: something is attached, groups are whole", `
		${V2("ppc")}
		d = device mmu vfio-pci group=g
		e = device mmu vfio-pci group=g
		bind d
		bind e
		g = ioasid_alloc kind=dummy
		map g 0x40000000 0x10000 iova=0x40000000
		t = ioasid_alloc parent=g windows
		w = window_create t 0x100000 0x1000 base=0
		v = vm
		kvm_add_liobn v 7 t
		h_put_tce v 7 0 0x40000000 !EINVAL
		attach d t
		h_put_tce v 7 0 0x40000000 !EDEADLK
		attach e t
		h_put_tce v 7 0 0x40000000
		xlate e 8 => hva:0x40000008
	`, { options: { mapBeforeAttach: false, groupPolicy: "partial" } });
});

describe("guests' tables that hardware walks", () => {
	flows("what is beside them does not keep them from being live", HARDWARE, (kind) => `
		${V2(kind)}
		p = device mmu kernel
		m = device mmu mdev-pasid parent=p pasid
		d = device mmu vfio-pci pasid
		bind m
		bind d
		${GPA}
		${TABLE(kind)}
		pt_write t 0x1000 0x5000 perms=read
		pt_write t 0x2000 0x6000
		attach m u vpasid=1
		attach d u vpasid=1
		attach d gpa vpasid=2
		pt_write t 0x1000 0x9000 perms=read
		xlate m 0x1000 pasid=1 => hva:0x40009000
		xlate d 0x1000 pasid=1 => hva:0x40009000
		pt_clear t 0x2000
		xlate m 0x2000 pasid=1 => fault:stage1
		xlate d 0x2000 pasid=1 => fault:stage1
		xlate d 0x1000 pasid=1 access=w => fault:perm
		xlate d 0x5000 pasid=2 => hva:0x40005000
	`);
	flows("a shadow is taken with each device that comes", HARDWARE, (kind) => `
		${V2(kind, "nesting=sw")}
		d = device mmu vfio-pci
		e = device mmu vfio-pci
		bind d
		bind e
		${GPA}
		${TABLE(kind)}
		attach d u
		pt_write t 0x2000 0x7000
		attach e u
		xlate e 0x2000 => hva:0x40007000
	`);
	flows("look-up needs no device", HARDWARE, (kind) => `
		${V2(kind)}
		${GPA}
		${TABLE(kind)}
		pt_write t 0x5000 0x7000
		lookup u 0x5008 => parent:0x7008,hva:0x40007008
		lookup u 0x6008 !error
	`);
	flows("an invalidation reaches what the alias has in the device's TLB", HARDWARE, (kind) => `
		${V2(kind)}
		r = device mmu kernel
		pd = device mmu vfio-pci pasid dmwr ats
		md = device mmu mdev-pasid parent=r pasid dmwr
		bind pd
		bind md
		${GPA}
		${TABLE(kind)}
		pt_write t 0x1000 0x5000
		attach pd u vpasid=1
		attach md u vpasid=1
		g = ppasid md vpasid=1
		xlate pd 0x1000 raw_pasid=g => hva:0x40005000
		pt_write t 0x1000 0x6000
		invalidate u cache=iotlb
		invalidate u cache=devtlb
		xlate pd 0x1000 raw_pasid=g => hva:0x40006000
		xlate pd 0x1000 pasid=1 => hva:0x40006000
	`, { options: { pasidAlias: true } });
	flows("a cookie of two devices names both", HARDWARE, (kind) => `
		${V2(kind)}
		a = device mmu vfio-pci ats
		b = device mmu vfio-pci ats
		bind a cookie=7
		bind b cookie=7
		${GPA}
		${TABLE(kind)}
		pt_write t 0x5000 0x8000
		attach a u
		attach b u
		xlate a 0x5000 => hva:0x40008000
		xlate b 0x5000 => hva:0x40008000
		pt_write t 0x5000 0x9000
		invalidate u cache=iotlb cookie=7
		invalidate u cache=devtlb cookie=7
		xlate a 0x5000 => hva:0x40009000
		xlate b 0x5000 => hva:0x40009000
	`, { options: { dupCookie: "allow" } });
	flows("a guest's PASID table over memory that comes when it is asked for", ["smmuv3", "amdvi", "riscv"], (kind) => `
		${V2(kind)}
		d = device mmu vfio-pci pasid delegated pri
		e = device mmu vfio-pci pasid delegated pri
		bind d
		bind e
		s = ioasid_alloc iopf
		map s 0x40000000 0x4000000 iova=0
		cd = pasid_table_new ${kind} 0x40000000 0x300000 16
		table = ioasid_alloc kind=user parent=s user_pasid_table={format:${kind},addr:0x300000,size:16}
		t = pt_new ${kind} 0x40000000 0x100000 0x110000
		pt_write t 0x7000 0x8000
		pt_write t 0x9000 0x8000000
		pasid_table_write cd 5 t
		attach d table
		r = page_request d 0x7000 pasid=5
		fault_state r => state:success
		xlate d 0x7000 pasid=5 => hva:0x40008000
		xlate d 0x9000 pasid=5 => fault:stage2
		xlate d 0x6000 pasid=5 => fault:stage1
		xlate d 0x7000 pasid=6 => fault:pasid
		attach e table
		xlate e 0x7000 pasid=5 access=w => hva:0x40008000
		events => events:[]
		locked 0
	`);
	flows("a guest's PASID table in process memory", ["smmuv3", "amdvi", "riscv"], (kind) => `
		${V2(kind)}
		d = device mmu vfio-pci pasid delegated pri
		bind d
		s = ioasid_alloc kind=sva
		cd = pasid_table_new ${kind} 0 0x40300000 16
		table = ioasid_alloc kind=user parent=s user_pasid_table={format:${kind},addr:0x40300000,size:16}
		t = pt_new ${kind} 0 0x40100000 0x40110000
		pt_write t 0x7000 0x40003000
		pasid_table_write cd 5 t
		attach d table
		xlate d 0x7000 pasid=5 => hva:0x40003000
	`);
	flows("a shadow brings in what its own entries lead to", HARDWARE, (kind) => `
		${V2(kind, "nesting=sw")}
		d = device mmu vfio-pci pri
		bind d
		gpa = ioasid_alloc iopf
		map gpa 0x40000000 0x1000000 iova=0
		${TABLE(kind)}
		pt_write t 0x7000 0x8000
		pt_write t 0x6000 0x5000
		attach d u
		pt_write t 0x7000 0x9000
		pt_clear t 0x6000
		xlate d 0x7000 => hva:0x40008000
		r = page_request d 0x6000
		fault_state r => state:success
		invalidate u
		xlate d 0x7000 => hva:0x40009000
		xlate d 0x6000 => fault:any
	`);
	flow("under tracking the second of table and PASID is a note, in both orders", `
		${V2("smmuv3")}
		d = device mmu vfio-pci pasid delegated
		bind d
		${GPA}
		table = ioasid_alloc kind=user parent=gpa user_pasid_table={format:smmuv3,addr:0x300000,size:16}
		attach d gpa vpasid=5
		attach d table
		slots d => hw:1
		xlate d 0x7000 pasid=5 => hva:0x40007000
		xlate d 0x7000 => fault:blocked
	`, { options: { pasidTableTracking: true } });
});

describe("slots", () => {
	flows("a control queue is in one space", HARDWARE, (kind) => `
		${V2(kind)}
		q = device mmu vdpa pasid
		bind q
		a = ioasid_alloc
		b = ioasid_alloc
		attach q a queue=cvq
		attach q b queue=cvq !EBUSY
		detach q a queue=cvq
		attach q b queue=cvq
	`);
	flows("a parent may come after its child, which stays what is installed", ALL, (kind) => `
		${V2(kind)}
		d = device mmu vfio-pci
		bind d
		${GPA}
		c = ioasid_alloc parent=gpa
		map c 0x1000 0x1000 iova=0x2000
		attach d c
		attach d gpa
		xlate d 0x2008 => hva:0x40001008
		slots d => hw:1
		detach d gpa !error
		detach d c
		xlate d 0x2008 => hva:0x40002008
	`);
	flows("PASID 0 is that of requests without one", HARDWARE, (kind) => `
		${V2(kind)}
		d = device mmu vfio-pci pasid
		bind d
		${GPA}
		attach d gpa vpasid=0 !EINVAL
		xlate d 0x1000 => fault:blocked
	`);
	flow("one mode for a group holds for one device too", `
		${V2()}
		d = device mmu vfio-pci pasid
		bind d
		a = ioasid_alloc
		attach d a
		attach d a vpasid=1 !error
	`, { options: { mixedModes: false } });
	flow("the quota is each file's own", `
		${V2()}
		fd2 = open iommu
		d = device mmu vfio-pci pasid
		bind d
		bind d fd=fd2
		a = ioasid_alloc
		b = ioasid_alloc fd=fd2
		attach d a vpasid=1
		attach d a vpasid=2 !error
		attach d b vpasid=2 fd=fd2
	`, { options: { multiFdBind: true, pasidQuota: 1 } });
	flow("vDPA members keep no gate shut", `
		${V2()}
		a = device mmu vfio-pci group=g
		v = device mmu vdpa group=g
		bind a
		x = ioasid_alloc
		attach a x
		map x 0x40000000 0x1000 iova=0
	`, { options: { groupPolicy: "partial" } });
});

describe("maps", () => {
	flows("write-only maps are written and not read, in formats that cannot say so too", ALL, (kind) => `
		${V2(kind)}
		d = device mmu vfio-pci ${kind === "ppc" ? "" : "pasid"}
		bind d
		g = ioasid_alloc
		c = ioasid_alloc parent=g
		map g 0x40000000 0x2000 iova=0 flags=write
		map c 0 0x1000 iova=0x5000
		map c 0x1000 0x1000 iova=0x6000 flags=read
		attach d g
		xlate d 8 access=w => hva:0x40000008
		xlate d 8 => fault:perm
		dma_write d 0 4 7
		dma_read d 0 4 7 => fault:perm
		${kind === "ppc" ? "" : "attach d g vpasid=1\nxlate d 8 pasid=1 access=w => hva:0x40000008\nxlate d 8 pasid=1 => fault:perm"}
		detach d g
		attach d c
		xlate d 0x5008 access=w => hva:0x40000008
		xlate d 0x5008 => fault:perm
		# rights that meet in nothing
		xlate d 0x6008 => fault:perm
		xlate d 0x6008 access=w => fault:perm
		xlate d 0x7008 => fault:unmapped
	`);
	flows("guests' tables are not read from memory that may only be written", HARDWARE, (kind) => `
		${V2(kind)}
		d = device mmu vfio-pci
		bind d
		gpa = ioasid_alloc
		map gpa 0x40000000 0x100000 iova=0
		map gpa 0x40100000 0x100000 iova=0x100000 flags=write
		${TABLE(kind)}
		pt_write t 0x5000 0x7000
		attach d u
		xlate d 0x5000 access=w => fault:any
		detach d u
		unmap gpa 0x100000 0x100000
		map gpa 0x40100000 0x100000 iova=0x100000
		attach d u
		xlate d 0x5000 access=w => hva:0x40007000
	`);
	flows("faults of a slot that leads somewhere are faults of its table", HARDWARE, (kind) => `
		${V2(kind)}
		d = device mmu vfio-pci
		bind d
		a = ioasid_alloc
		xlate d 0xfee00008 => fault:blocked
		attach d a
		xlate d 0xfee00008 => fault:unmapped
		xlate d 0xfee00008 access=w => fault:unmapped
		xlate d 0x1000000000000 => fault:unmapped
		xlate d 0xfffffffffffff000 => fault:unmapped
	`);
	flows("where the machine reserves nothing, no address is kept for interrupts", HARDWARE, (kind) => `
		${V2(kind, "reserved=[]")}
		d = device mmu vfio-pci
		bind d
		g = ioasid_alloc
		map g 0x50000000 0x100000 iova=0xfee00000
		attach d g
		xlate d 0xfee00008 => hva:0x50000008
		xlate d 0xfee00008 access=w => hva:0x50000008
	`);
	flows("nor do guests' tables, processes and dirty tracking know of them", HARDWARE, (kind) => `
		mmu = iommu ${kind} reserved=[[0x700000000,0x7000fffff]]
		ram = mem 0x40000000 0x40000000
		high = mem 0xfee00000 0x10000
		fd = open iommu
		d = device mmu vfio-pci pri
		e = device mmu vfio-pci pri
		bind d
		bind e
		gpa = ioasid_alloc
		map gpa 0x40000000 0x1000000 iova=0
		map gpa 0x50000000 0x10000 iova=0xfee00000
		${TABLE(kind)}
		pt_write t 0xfee01000 0x6000
		pt_write t 0xfee02000 0x7000 perms=read
		attach d u
		xlate d 0xfee01008 => hva:0x40006008
		xlate d 0xfee02008 access=w => fault:perm
		xlate d 0xfee03008 => fault:stage1
		detach d u
		attach d gpa
		dirty_start gpa
		dma_write d 0xfee01000 4 7
		dirty_get gpa 0xfee00000 0x10000 0x1000 => bits:[1]
		s = ioasid_alloc kind=sva
		attach e s
		xlate e 0xfee01008 => hva:0xfee01008
		xlate e 0xfee03008 => hva:0xfee03008
		xlate e 0xfee83008 => fault:any
	`, { options: { dirtyTracking: true } });
	flows("pages of other sizes, which a format has and the unit has not, are not dirty as a whole", HARDWARE, (kind) => `
		${V2(kind)}
		d = device mmu vfio-pci
		bind d
		g = ioasid_alloc
		map g 0x40400000 0x10000 iova=0x100000
		map g 0x44000000 0x4000000 iova=0x4000000
		attach d g
		dirty_start g
		dma_write d 0x103000 4 1
		dma_write d 0x4201000 4 1
		dirty_get g 0x100000 0x10000 0x1000 => bits:[3]
		dirty_get g 0x4000000 0x4000000 0x200000 => bits:[1]
	`, { options: { dirtyTracking: true, dirtySplit: false } });
	flows("leaves are of pages that the unit has", HARDWARE, (kind) => `
		${V2(kind, "page_sizes=0x1000")}
		d = device mmu vfio-pci
		bind d
		g = ioasid_alloc
		map g 0x40000000 0x200000 iova=0
		attach d g
		dirty_start g
		dma_write d 0x3000 4 9
		dirty_get g 0 0x200000 0x1000 => bits:[3]
	`, { options: { dirtyTracking: true, dirtySplit: false } });
	flow("address 0 is chosen when nothing else is left", `
		${V2()}
		t = ioasid_alloc windows
		w = window_create t 0x2000 0x1000 base=0
		x = map t 0x40000000 0x1000 alloc => iova:0x1000
		y = map t 0x40000000 0x1000 alloc => iova:0
	`);
	flow("memory that the process has dropped is a fault of DMA, not an error", `
		${V2()}
		d = device mmu vfio-pci pri
		bind d
		f = ioasid_alloc iopf
		map f 0x40000000 0x4000 iova=0
		attach d f
		xlate d 0x2000 => hva:0x40002000
		mem_drop 0x40000000 0x4000
		dma_write d 0x1000 4 1 => fault:any
		xlate d 0x2000 => fault:any
		dma_miss d 0x1000
		r = page_request d 0x1000
		fault_state r => state:pending
	`);
	flow("what charges nothing is refused by no limit", `
		${V2()}
		weak = iommu vtd snoop_enforce=false
		s = device mmu mdev-sw
		d = device mmu vfio-pci
		bind s
		bind d
		dummy = ioasid_alloc kind=dummy
		map dummy 0x40000000 0x8000 iova=0x40000000
		c = ioasid_alloc parent=dummy
		map c 0x40000000 0x1000 iova=0
		attach s c
		rlimit 4
		p = access_pin s 0 0x1000
		attach d c
		locked 8
		r = ioasid_alloc
		map r 0x40010000 0x1000 iova=0
		detach d c
		attach d r !ENOMEM
	`);
	flow("registered ranges that touch are one (v1)", `
		${V1}
		register_memory 0x40000000 0x10000
		register_memory 0x40010000 0x10000
		map a 0x4000f000 0x2000 iova=0
		locked 32
		xlate d 0x1008 => hva:0x40010008
		unregister_memory 0x40000000 0x10000 !EBUSY
		unmap a 0 0x1000 !EINVAL
		unmap a 0 0x2000
		unregister_memory 0x40000000 0x10000
		unregister_memory 0x40010000 0x10000
		locked 0
	`, { uapi: "v1" });
});

describe("snooping, containers, defaults", () => {
	flow("auto is open again when the last device of the tree leaves by a child of its own mind", `
		${V2()}
		weak = iommu vtd snoop_enforce=false
		nic = device mmu vfio-pci
		igd = device weak vfio-pci
		bind nic
		bind igd
		a = ioasid_alloc
		e = ioasid_alloc parent=a snoop=no
		attach nic a
		attach igd e
		detach nic a
		detach igd e
		attach igd a
	`);
	flow("the first device of a tree decides for its root, by whatever child it comes", `
		${V2()}
		weak = iommu vtd snoop_enforce=false
		nic = device mmu vfio-pci
		igd = device weak vfio-pci
		bind nic
		bind igd
		a = ioasid_alloc
		e = ioasid_alloc parent=a snoop=enforce
		attach nic e
		attach igd a !EINVAL
		detach nic e
		attach igd a
	`);
	flow("one kind of IOMMU for each file holds for containers; what must be enabled does not", `
		mmu = iommu vtd
		arm = iommu smmuv3
		ram = mem 0x40000000 0x10000000
		a = device mmu vfio-pci group=ga
		b = device arm vfio-pci group=gb
		c = open vfio
		vfio_set_container ga c
		vfio_set_container gb c !error
		vfio_set_iommu c type1v2
		vfio_map c 0 0x40000000 0x1000
		xlate a 8 => hva:0x40000008
	`, { uapi: "vfio", options: { fdHomogeneous: true, explicitEnable: true } });
	flow("a right that is not revoked outlives the file's removal", `
		weak = iommu vtd snoop_enforce=false
		fd = open iommu
		g = device weak vfio-pci no_snoop
		bind g
		x = ioasid_alloc
		v = vm
		kvm_add_fd v
		attach g x
		detach g x
		kvm_del_fd v
		wbinvd v => real:true
	`, { options: { wbinvdRevoke: false } });
	flow("a removed device is in no VM", `
		${V2()}
		r = device mmu kernel
		pd = device mmu vfio-pci pasid dmwr
		md = device mmu mdev-pasid parent=r pasid dmwr
		v = vm
		vm_assign v pd
		vm_assign v md
		kvm_pasid_cap v true !error
		unplug md
		kvm_pasid_cap v true
	`, { options: { mixGuard: true } });
	flow("a second hidden space is there as long as somebody needs it", `
		mmu = iommu vtd
		weak = iommu vtd snoop_enforce=false
		a = device mmu vfio-pci group=ga
		b = device weak vfio-pci group=gb
		c = open vfio
		vfio_set_container ga c
		vfio_set_iommu c type1v2
		vfio_set_container gb c
		vfio_hidden_count c 2
		vfio_unset_container gb
		vfio_hidden_count c 1
	`, { uapi: "vfio" });
	flow("a refused group leaves no second hidden space", `
		mmu = iommu vtd
		weak = iommu vtd snoop_enforce=false
		a = device mmu vfio-pci group=ga
		b = device weak vfio-pci group=gb
		c = open vfio
		vfio_set_container ga c
		vfio_set_iommu c type1
		vfio_set_container gb c !EINVAL
		vfio_hidden_count c 1
	`, { uapi: "vfio", options: { noSnoopExt: false } });
	flow("what goes through a mirror is written to the hidden space, after the mirror too", `
		mmu = iommu vtd
		weak = iommu vtd snoop_enforce=false
		ram = mem 0x40000000 0x10000000
		a = device mmu vfio-pci group=ga
		b = device weak vfio-pci group=gb
		c = open vfio
		vfio_set_container ga c
		vfio_set_iommu c type1v2
		vfio_set_container gb c
		vfio_map c 0 0x40000000 0x8000
		h = vfio_ioasid c get
		dirty_start h fd=c
		dma_write a 0x1000 4 1
		dma_write b 0x2000 4 1
		dirty_get h 0 0x8000 0x1000 fd=c => bits:[1,2]
		dma_write b 0x3000 4 1
		vfio_unset_container gb
		dirty_get h 0 0x8000 0x1000 fd=c => bits:[3]
		vfio_set_container gb c
		dma_write b 0x4000 4 1
		unmap h 0 0x8000 get_dirty fd=c => dirty:[4]
		dirty_stop h fd=c
	`, { uapi: "core", options: { dirtyTracking: true } });
	flow("a failed set_iommu leaves no device for calls of the other door", `
		mmu = iommu vtd
		weak = iommu vtd snoop_enforce=false
		a = device mmu vfio-pci group=ga
		b = device weak vfio-pci group=gb
		c = open vfio
		vfio_set_container ga c
		vfio_set_container gb c
		vfio_set_iommu c type1 !EINVAL
		x = ioasid_alloc fd=c
		attach a x fd=c !error
	`, { uapi: "core", options: { noSnoopExt: false } });
	flow("a hidden part shows no PASIDs", `
		${V2()}
		p = device mmu kernel
		a = device mmu mdev-pasid parent=p pasid
		b = device mmu mdev-pasid parent=p pasid
		bind a cookie=1
		bind b cookie=2
		device_get_info 1 => pasid_bits:20
		device_get_info 2 => pasid_bits:0
		x = ioasid_alloc
		attach b x vpasid=1 !error
		attach a x vpasid=1
	`, { options: { hideSecond: true } });
	flow("the defaults are those of the scenario's door, whatever is opened", `
		mmu = iommu vtd
		ram = mem 0x40000000 0x10000000
		one = open ioasid
		d = device mmu vfio-pci group=g
		e = device mmu vfio-pci group=g
		bind d
		a = ioasid_alloc
		map a 0x40000000 0x1000 iova=0
		attach d a
		map a 0x40000000 0x1000 iova=0x1000
	`, { uapi: "core" });
});
