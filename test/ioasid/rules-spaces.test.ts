/** What scenarios/ioasid.md says of IOASIDs, results and the options about them, where no scenario of the set does. */
import { describe } from "vitest";
import { ALL, flow, flows, HARDWARE } from "./flow.ts";

const V2 = (kind = "vtd", more = "") => `
	mmu = iommu ${kind} ${more}
	ram = mem 0x40000000 0x40000000
	fd = open iommu
`;
const V1 = (kind = "vtd") => `
	mmu = iommu ${kind}
	ram = mem 0x40000000 0x40000000
	fd = open ioasid
`;
const DEVICE = "d = device mmu vfio-pci\nbind d cookie=1";

describe("numbers and kinds", () => {
	flow("numbers are local; what belongs to one node is refused at the others", `
		${V2()}
		v1 = open ioasid
		${DEVICE}
		a = ioasid_alloc
		ioasid_free 77 !EINVAL
		get_info 77 !EINVAL
		b = ioasid_alloc fd=v1 kind=kernel !error
		b = ioasid_alloc fd=v1 snoop=no !error
		b = ioasid_alloc fd=v1
		n = create_nesting a !error
		unbind d !error
		register_memory 0x40000000 0x1000 !error
	`, { uapi: "core" });
	flow("kinds: what each may have for parent, child, table and map", `
		${V2()}
		a = ioasid_alloc
		d0 = ioasid_alloc kind=dummy
		s = ioasid_alloc kind=sva
		x = ioasid_alloc kind=identity !error
		x = ioasid_alloc kind=dummy parent=a !error
		x = ioasid_alloc kind=sva parent=a !error
		x = ioasid_alloc kind=identity parent=d0 !error
		x = ioasid_alloc kind=user parent=d0 user_pgtable={format:vtd,addr:0x8000} !error
		x = ioasid_alloc kind=kernel parent=s !error
		x = ioasid_alloc kind=identity parent=s !error
		x = ioasid_alloc kind=user parent=a !error
		x = ioasid_alloc kind=user user_pgtable={format:vtd,addr:0x8000} !error
		x = ioasid_alloc kind=user parent=a user_pgtable={format:vtd,addr:0x8000} user_pasid_table={format:riscv,addr:0x8000,size:8} !error
		x = ioasid_alloc kind=user parent=a user_pgtable={format:unknown,addr:0x8000} !EOPNOTSUPP
		x = ioasid_alloc kind=user parent=a user_pasid_table={format:unknown,addr:0x8000,size:8} !EOPNOTSUPP
		u = ioasid_alloc kind=user parent=a user_pgtable={format:vtd,addr:0x8000}
		x = ioasid_alloc parent=u !error
		x = ioasid_alloc kind=user parent=u user_pgtable={format:vtd,addr:0x8000} !error
		x = ioasid_alloc kind=identity parent=u !error
		map u 0x40000000 0x1000 iova=0 !error
		unmap u 0 0x1000 !error
		map s 0x40000000 0x1000 iova=0 !error
		invalidate a !error
		i = ioasid_alloc kind=identity parent=a
		invalidate i !error
		invalidate d0 !error
		invalidate s !error
		ioasid_free a !EBUSY
		ioasid_free i
		ioasid_free u
		ioasid_free a
		ioasid_free a !EINVAL
		us = ioasid_alloc kind=user parent=s user_pgtable={format:vtd,addr:0x8000}
	`);
	flow("dummy root: identity maps only, pinned and charged at the map, no device, children free of charge", `
		${V2()}
		${DEVICE}
		r = ioasid_alloc kind=dummy
		map r 0x40000000 0x1000 iova=0x1000 !EINVAL
		map r 0x40000000 0x10000 iova=0x40000000
		locked 16
		attach d r !error
		a = ioasid_alloc parent=r
		b = ioasid_alloc parent=r
		map a 0x40001000 0x2000 iova=0
		map b 0x40001000 0x2000 iova=0x5000
		attach d a
		xlate d 0x1004 => hva:0x40002004
		locked 16
		lookup a 0x1004 => parent:0x40002004,hva:0x40002004
		rlimit 16
		map r 0x40010000 0x1000 iova=0x40010000 !ENOMEM
		unmap r 0x40000000 0x10000 => size:0x10000
		locked 0
		xlate d 0x1004 => fault:unmapped
	`);
	flows("identity: the parent's addresses, its maps bind what attaches", HARDWARE, (kind) => `
		${V2(kind)}
		d = device mmu vfio-pci pasid
		bind d
		narrow = iommu ${kind} addr_width=39
		e = device narrow vfio-pci
		bind e
		a = ioasid_alloc
		i = ioasid_alloc kind=identity parent=a
		map a 0x40000000 0x1000 iova=0x8000000000
		attach d i vpasid=4
		xlate d 0x8000000010 pasid=4 => hva:0x40000010
		xlate d 0x8000001010 pasid=4 => fault:any
		lookup i 0x8000000010 => parent:0x8000000010,hva:0x40000010
		map a 0x40000000 0x1000 iova=0xfee00000 !EINVAL
		attach e i !EINVAL
		unmap a 0x8000000000 0x1000
		attach e i
		map a 0x40000000 0x1000 iova=0x8000000000 !EINVAL
	`);
	flow("shared process memory: needs page requests, follows the process, parents user tables", `
		${V2()}
		d = device mmu vfio-pci pasid pri
		e = device mmu vfio-pci
		bind d
		bind e
		s = ioasid_alloc kind=sva
		attach e s !error
		attach d s
		xlate d 0x40003004 => hva:0x40003004
		locked 0
		dma_write d 0x40003000 0x1000 0x33
		mem_check 0x40003000 0x1000 0x33
		mem_drop 0x40003000 0x1000
		xlate d 0x40003004 => fault:any
		t = pt_new vtd 0 0x40008000 0x40009000
		pt_write t 0x7000 0x40005000
		u = ioasid_alloc kind=user parent=s user_pgtable={format:vtd,addr:0x40008000}
		attach d u vpasid=2
		xlate d 0x7008 pasid=2 => hva:0x40005008
	`);
	flow("iopf: pages come when asked for, nothing is pinned, a device without page requests is refused", `
		${V2()}
		d = device mmu vfio-pci pri
		e = device mmu vfio-pci
		bind d cookie=1
		bind e cookie=2
		a = ioasid_alloc iopf
		map a 0x40000000 0x100000 iova=0
		attach e a !error
		attach d a
		locked 0
		r = page_request d 0x2000
		fault_state r => state:success
		xlate d 0x2010 => hva:0x40002010
		events => events:[]
		q = page_request d 0x200000
		fault_state q => state:pending
		events => events:[{ioasid:$a,cookie:1,addr:0x200000,perm:r,recoverable:true}]
	`);
	flow("a user table without iopf needs no page requests, its format is checked at attach", `
		${V2()}
		${DEVICE}
		a = ioasid_alloc
		map a 0x40000000 0x100000 iova=0
		u = ioasid_alloc kind=user parent=a user_pgtable={format:riscv,addr:0x8000}
		attach d u !EINVAL
		w = ioasid_alloc kind=user parent=a user_pgtable={format:vtd,addr:0x8000}
		attach d w
		xlate d 0x1000 => fault:stage1
	`);
});

describe("map and unmap", () => {
	flow("refusals: alignment, overlap, reserved, width, limit; each changes nothing", `
		${V2("vtd", "addr_width=39")}
		${DEVICE}
		a = ioasid_alloc
		attach d a
		map a 0x40000000 0x2000 iova=0x1000
		map a 0x40000000 0x1000 iova=0x800 !EINVAL
		map a 0x40000800 0x1000 iova=0x8000 !EINVAL
		map a 0x40000000 0 iova=0x8000 !EINVAL
		map a 0x40000000 0x800 iova=0x8000 !EINVAL
		map a 0x40000000 0x1000 iova=0x2000 !EEXIST
		map a 0x40000000 0x3000 iova=0 !EEXIST
		map a 0x40000000 0x1000 iova=0xfeeff000 !EINVAL
		map a 0x40000000 0x2000 iova=0xfedff000 !EINVAL
		map a 0x40000000 0x1000 iova=0x8000000000 !EINVAL
		map a 0x40000000 0x2000 iova=0x7ffffff000 !EINVAL
		map a 0x40000000 0x1000 iova=0xfffffffffffff000 !EINVAL
		rlimit 3
		map a 0x40004000 0x2000 iova=0x8000 !ENOMEM
		map a 0x40004000 0x1000 iova=0x8000
		locked 3
		unmap a 0x1000 0x1000 !EINVAL
		unmap a 0x2000 0x7000 !EINVAL
		unmap a 0x800 0x1000 !EINVAL
		unmap a 0x20000 0x1000 => size:0
		unmap a 0 0x20000 => size:0x3000
		locked 0
	`);
	flow("permissions: read-only and write-only at any level", `
		${V2()}
		${DEVICE}
		a = ioasid_alloc
		c = ioasid_alloc parent=a
		attach d c
		map a 0x40000000 0x1000 iova=0 flags=read
		map a 0x40001000 0x1000 iova=0x1000 flags=read,write
		map c 0 0x1000 iova=0x10000
		map c 0x1000 0x1000 iova=0x11000 flags=read
		xlate d 0x10000 => hva:0x40000000
		xlate d 0x10000 access=w => fault:perm
		xlate d 0x11000 access=w => fault:perm
		xlate d 0x11000 => hva:0x40001000
	`);
	flow("kernel-chosen addresses: outside of what is reserved or used, inside windows", `
		mmu = iommu vtd reserved=[[0,0xffffff],[0x1010000,0xffffffffefff]]
		ram = mem 0x40000000 0x1000000
		fd = open iommu
		${DEVICE}
		a = ioasid_alloc
		attach d a
		x = map a 0x40000000 0x8000 alloc
		y = map a 0x40000000 0x8000 alloc
		assert_num x in=[0x1000000,0x1008000]
		assert_num y in=[0x1000000,0x1008000]
		assert_num x ne=y
		z = map a 0x40000000 0x2000 alloc !ENOSPC
		w = ioasid_alloc windows
		q = map w 0x40000000 0x1000 alloc !error
		b = window_create w 0x20000 0x4000
		v = map w 0x40000000 0x4000 alloc
		assert_num v multiple_of=0x4000
		map w 0x40000000 0x1000 iova=v !error
	`);
	flow("attach later: a hole in use is EADDRINUSE, a narrow device EINVAL; merged children do not bind their parent", `
		${V2()}
		n = iommu vtd addr_width=39 reserved=[[0x10000,0x1ffff]]
		e = device n vfio-pci
		bind e
		a = ioasid_alloc
		map a 0x40000000 0x1000 iova=0x10000
		attach e a !EADDRINUSE
		c = ioasid_alloc parent=a
		map c 0x10000 0x1000 iova=0x8000
		attach e c
		xlate e 0x8004 => hva:0x40000004
		map c 0x10000 0x1000 iova=0x18000 !EINVAL
		map a 0x40001000 0x1000 iova=0x18000
		map a 0x40001000 0x1000 iova=0x8000000000
		b = ioasid_alloc
		map b 0x40000000 0x1000 iova=0x8000000000
		detach e c
		attach e b !EINVAL
	`);
	flow("a user table on hardware binds the parent's map", `
		${V2()}
		${DEVICE}
		a = ioasid_alloc
		map a 0x40000000 0x10000 iova=0
		u = ioasid_alloc kind=user parent=a user_pgtable={format:vtd,addr:0x8000}
		attach d u
		map a 0x40000000 0x1000 iova=0xfee00000 !EINVAL
		detach d u
		map a 0x40000000 0x1000 iova=0xfee00000
		attach d u !EADDRINUSE
	`);
	flow("device memory: roots only, free of charge, of a device that is bound or not", `
		${V2()}
		${DEVICE}
		p = device mmu none
		a = ioasid_alloc
		c = ioasid_alloc parent=a
		attach d a
		bar_map a 0x100000 p 0x2000 0x4000
		locked 0
		xlate d 0x101008 => bar:$p,offset:0x3008
		bar_map c 0x100000 p 0 0x1000 !error
		dummy = ioasid_alloc kind=dummy
		bar_map dummy 0x100000 p 0 0x1000 !error
		bar_map a 0x102000 p 0 0x1000 !EEXIST
		bar_map a 0x200000 p 0x800 0x1000 !EINVAL
		unmap a 0x100000 0x4000 => size:0x4000
		xlate d 0x101008 => fault:unmapped
	`);
	flow("maps before attach (v1): refused with nothing attached, outlive the last detach", `
		${V1()}
		d = device mmu vfio-pci
		bind d
		a = ioasid_alloc
		map a 0x40000000 0x1000 iova=0 !EINVAL
		n = create_nesting a !error
		attach d a
		map a 0x40000000 0x1000 iova=0
		detach d a
		locked 0
		unmap a 0 0x1000 !EINVAL
		attach d a
		xlate d 4 => hva:0x40000004
		locked 1
	`, { uapi: "v1" });
	flow("explicit enable: attaches before, maps after", `
		${V2()}
		${DEVICE}
		a = ioasid_alloc
		map a 0x40000000 0x1000 iova=0 !error
		attach d a
		enable a
		map a 0x40000000 0x1000 iova=0
		e = device mmu vfio-pci
		bind e
		attach e a !error
		detach d a
		attach d a !error
	`, { options: { explicitEnable: true } });
	flow("enable is not offered without the option", `
		${V2()}
		a = ioasid_alloc
		enable a !error
	`);
});

describe("charging", () => {
	flow("a root pays while something is attached in its tree; the last detach uncharges, maps stay", `
		${V2()}
		d = device mmu vfio-pci pasid
		bind d
		a = ioasid_alloc
		c = ioasid_alloc parent=a
		map a 0x40000000 0x4000 iova=0
		map c 0 0x1000 iova=0x9000
		locked 0
		rlimit 3
		attach d c !ENOMEM
		slots d => slots:[],hw:0
		rlimit 4
		attach d c
		locked 4
		attach d a vpasid=1
		detach d c
		locked 4
		detach d a vpasid=1
		locked 0
		attach d a
		xlate d 0x3000 => hva:0x40003000
	`);
	flow("two roots on the same pages are charged twice, without a dummy root", `
		${V2()}
		d = device mmu vfio-pci pasid
		bind d
		a = ioasid_alloc
		b = ioasid_alloc
		map a 0x40000000 0x4000 iova=0
		map b 0x40000000 0x2000 iova=0
		attach d a
		attach d b vpasid=1
		locked 6
	`);
	flow("no_auto_pin: only what is pinned by software is charged", `
		${V2()}
		m = device mmu mdev-sw
		bind m
		a = ioasid_alloc
		map a 0x40000000 0x4000 iova=0
		attach m a hints=no_auto_pin
		locked 0
		p = access_pin m 0x800 0x1000 => hva:[0x40000000,0x40001000]
		locked 2
		q = access_pin m 0x1000 0x1000
		locked 2
		access_unpin m p
		locked 1
		detach m a
		locked 0
	`);
	flow("the mapping process pays, whoever opened the file", `
		${V2()}
		other = proc
		m2 = mem 0x50000000 0x10000 proc=other
		${DEVICE}
		a = ioasid_alloc
		attach d a
		map a 0x50000000 0x2000 iova=0x5000 proc=other
		locked 0
		locked 2 proc=other
		xlate d 0x5000 => hva:0x50000000
	`);
	flow("registered memory is charged once; roots lie inside and cost nothing; it holds while maps need it (v1)", `
		${V1()}
		d = device mmu vfio-pci
		bind d
		a = ioasid_alloc
		attach d a
		map a 0x48000000 0x2000 iova=0x100000
		locked 2
		register_memory 0x40000000 0x10000
		locked 16
		xlate d 0x100000 => hva:0x48000000
		map a 0x40000000 0x4000 iova=0
		map a 0x50000000 0x1000 iova=0x20000 !EINVAL
		locked 16
		unregister_memory 0x40000000 0x8000 !error
		unregister_memory 0x40000000 0x10000 !error
		unmap a 0 0x4000
		unregister_memory 0x40000000 0x10000
		# what was mapped before is paid for itself again
		locked 2
		rlimit 8
		register_memory 0x40000000 0x10000 !ENOMEM
		locked 2
		detach d a
		locked 0
		rlimit 1
		attach d a !ENOMEM
	`, { uapi: "v1" });
	flow("registering is limited by what is paid then, unregistering by what is paid again (v1)", `
		${V1()}
		d = device mmu vfio-pci
		bind d
		a = ioasid_alloc
		attach d a
		map a 0x40000000 0x4000 iova=0
		rlimit 16
		register_memory 0x40000000 0x11000 !ENOMEM
		locked 4
		register_memory 0x40000000 0x10000
		locked 16
		unregister_memory 0x40000000 0x10000 !EBUSY
		unmap a 0 0x4000
		map a 0x40000000 0x4000 iova=0
		unmap a 0 0x4000
		unregister_memory 0x40000000 0x10000
		locked 0
		map a 0x40000000 0x8000 iova=0
		register_memory 0x40010000 0x4000
		locked 4
		rlimit 7
		unregister_memory 0x40010000 0x4000 !ENOMEM
		locked 4
		rlimit 8
		unregister_memory 0x40010000 0x4000
		locked 8
	`, { uapi: "v1" });
});

describe("windows", () => {
	flows("nothing outside, the page size is the unit, removal drops the maps", ALL, (kind) => `
		${V2(kind)}
		${DEVICE}
		w = ioasid_alloc windows
		attach d w
		map w 0x40000000 0x1000 iova=0 !error
		b = window_create w 0x100000 0x10000 base=0x200000 => base:0x200000
		window_create w 0x100000 0x1000 base=0x280000 !error
		window_create w 0x1800 0x1000 base=0x1000 !error
		window_create w 0x1000 0x1800 base=0x3000 !error
		map w 0x40000000 0x1000 iova=0x200000 !error
		map w 0x40000000 0x20000 iova=0x210000
		map w 0x40000000 0x20000 iova=0x2f0000 !error
		xlate d 0x21f004 => hva:0x4000f004
		xlate d 0x100000 => fault:unmapped
		x = window_create w 0x10000 0x1000
		window_remove w 0x210000 !error
		window_remove w 0x200000
		xlate d 0x21f004 => fault:unmapped
		locked 0
		map w 0x40000000 0x10000 iova=0x210000 !error
		a = ioasid_alloc
		window_create a 0x1000 0x1000 !error
	`);
	flows("two windowed spaces on one RID by address", ["ppc", "vtd"], (kind) => `
		${V2(kind)}
		${DEVICE}
		lo = ioasid_alloc windows
		hi = ioasid_alloc windows
		plain = ioasid_alloc
		window_create lo 0x10000 0x1000 base=0
		window_create hi 0x10000 0x1000 base=0x100000
		attach d lo
		attach d hi !error
	`);
	flow("addressRouted: disjoint windows share a RID", `
		${V2("ppc")}
		${DEVICE}
		lo = ioasid_alloc windows
		hi = ioasid_alloc windows
		clash = ioasid_alloc windows
		plain = ioasid_alloc
		window_create lo 0x10000 0x1000 base=0
		window_create hi 0x10000 0x1000 base=0x100000
		window_create clash 0x10000 0x1000 base=0x108000
		map lo 0x40000000 0x1000 iova=0x1000
		map hi 0x40008000 0x1000 iova=0x101000
		attach d lo
		attach d hi
		attach d clash !error
		attach d plain !error
		slots d => slots:[{mode:rid_window,vpasid:null,ioasid:$lo},{mode:rid_window,vpasid:null,ioasid:$hi}],hw:2
		xlate d 0x1004 => hva:0x40000004
		xlate d 0x101004 => hva:0x40008004
		xlate d 0x20000 => fault:unmapped
		window_create lo 0x10000 0x1000 base=0x100000 !error
		detach d lo
		xlate d 0x1004 => fault:unmapped
		xlate d 0x101004 => hva:0x40008004
	`, { options: { addressRouted: true } });
});

describe("snoop", () => {
	flow("auto: the first device decides for the tree, until the last has left; under a dummy each child", `
		strong = iommu vtd
		weak = iommu vtd snoop_enforce=false
		ram = mem 0x40000000 0x100000
		fd = open iommu
		s = device strong vfio-pci no_snoop pasid
		w = device weak vfio-pci no_snoop
		bind s
		bind w
		vm1 = vm
		kvm_add_fd vm1
		a = ioasid_alloc
		c = ioasid_alloc parent=a
		attach s c
		attach w a !EINVAL
		detach s c
		attach w a
		wbinvd vm1 => real:true
		attach s a
		detach w a
		wbinvd vm1 => real:true
		detach s a
		wbinvd vm1 => real:false
		attach s a
		wbinvd vm1 => real:false
		r = ioasid_alloc kind=dummy
		x = ioasid_alloc parent=r
		y = ioasid_alloc parent=r
		attach s x vpasid=1
		attach w y
		wbinvd vm1 => real:true
		fd_wbinvd
		detach w y
		fd_wbinvd !ENXIO
	`);
	flow("an explicit value of a child is its own; software attachments decide nothing", `
		weak = iommu vtd snoop_enforce=false
		ram = mem 0x40000000 0x100000
		fd = open iommu
		w = device weak vfio-pci no_snoop
		m = device weak mdev-sw
		bind w
		bind m
		a = ioasid_alloc snoop=enforce
		c = ioasid_alloc parent=a snoop=no
		e = ioasid_alloc parent=a
		attach m a
		attach w a !EINVAL
		attach w e !EINVAL
		attach w c
		v = vm
		kvm_add_fd v
		wbinvd v => real:true
		kvm_del_fd v
		wbinvd v => real:false
	`);
	flow("legacy rule: any device on a non-enforcing IOASID", `
		weak = iommu vtd snoop_enforce=false
		fd = open iommu
		w = device weak vfio-pci
		bind w
		a = ioasid_alloc
		attach w a
		v = vm
		kvm_add_fd v
		wbinvd v => real:true
	`, { options: { wbinvdRule: "legacy" } });
	flow("sticky: the right stays with the VM, never with the file", `
		weak = iommu vtd snoop_enforce=false
		fd = open iommu
		w = device weak vfio-pci no_snoop
		bind w
		v = vm
		kvm_add_fd v
		a = ioasid_alloc
		attach w a
		detach w a
		wbinvd v => real:true
		fd_wbinvd !ENXIO
	`, { options: { wbinvdRevoke: false } });
	flow("every IOASID enforces: no, and auto that would not, are refused", `
		weak = iommu vtd snoop_enforce=false
		fd = open iommu
		w = device weak vfio-pci
		bind w
		check_extension no_snoop => value:0
		a = ioasid_alloc snoop=no !EINVAL
		a = ioasid_alloc
		attach w a !EINVAL
	`, { options: { noSnoopExt: false } });
	flow("a hint, or a device that cannot, makes wbinvd a no-op", `
		weak = iommu vtd snoop_enforce=false
		fd = open iommu
		w = device weak vfio-pci no_snoop
		x = device weak vfio-pci
		bind w
		bind x
		v = vm
		kvm_add_fd v
		a = ioasid_alloc snoop=no
		attach w a hints=no_snoop_unused
		attach x a
		wbinvd v => real:false
		unplug w
		wbinvd v => real:false
	`);
});

describe("nesting and invalidation", () => {
	flows("a shadow keeps its entries till the next invalidation, and follows the parent in what they lead to", HARDWARE, (kind) => `
		${V2(kind, "nesting=sw")}
		${DEVICE}
		gpa = ioasid_alloc
		map gpa 0x40000000 0x100000 iova=0
		mid = ioasid_alloc parent=gpa
		map mid 0 0x100000 iova=0
		t = pt_new ${kind} 0x40000000 0x80000 0x81000
		pt_write t 0x2000 0x1000
		u = ioasid_alloc kind=user parent=mid user_pgtable={format:${kind},addr:0x80000}
		attach d u
		xlate d 0x2004 => hva:0x40001004
		unmap gpa 0 0x100000
		xlate d 0x2004 => fault:any
		map gpa 0x40200000 0x100000 iova=0
		xlate d 0x2004 => hva:0x40201004
		unmap mid 0 0x100000
		xlate d 0x2004 => fault:any
		map mid 0x3000 0x1000 iova=0x1000
		xlate d 0x2004 => hva:0x40203004
		# its tables are nowhere now
		invalidate u
		xlate d 0x2004 => fault:any
	`);
	flow("busy: a parent stays as it is while a merged or shadowed child exists", `
		${V2("vtd", "nesting=sw")}
		${DEVICE}
		a = ioasid_alloc
		map a 0x40000000 0x10000 iova=0
		u = ioasid_alloc kind=user parent=a user_pgtable={format:vtd,addr:0x8000}
		map a 0x40010000 0x1000 iova=0x10000
		attach d u
		map a 0x40010000 0x1000 iova=0x20000 !EBUSY
		unmap a 0x10000 0x1000 !EBUSY
		detach d u
		unmap a 0x10000 0x1000
		c = ioasid_alloc parent=a
		unmap a 0 0x10000 !EBUSY
		ioasid_free c
		unmap a 0 0x10000
	`, { options: { swParentChange: "busy" } });
	flow("eager: a child maps what its parent has", `
		${V2()}
		a = ioasid_alloc
		map a 0x40000000 0x2000 iova=0
		c = ioasid_alloc parent=a
		map c 0x1000 0x2000 iova=0 !error
		map c 0x1000 0x1000 iova=0
	`, { options: { swChildMap: "eager" } });
	flow("merged tables follow their parent at once, three levels deep", `
		${V2("vtd", "nesting=sw")}
		${DEVICE}
		a = ioasid_alloc
		b = ioasid_alloc parent=a
		c = ioasid_alloc parent=b
		attach d c
		map c 0x5000 0x2000 iova=0x9000
		map b 0x7000 0x2000 iova=0x5000
		xlate d 0x9000 => fault:unmapped
		map a 0x40000000 0x1000 iova=0x8000
		xlate d 0x9000 => fault:unmapped
		xlate d 0xa000 => hva:0x40000000
		unmap a 0x8000 0x1000
		xlate d 0xa000 => fault:unmapped
		map a 0x40003000 0x2000 iova=0x7000
		xlate d 0xa004 => hva:0x40004004
		unmap b 0x5000 0x2000
		xlate d 0xa004 => fault:unmapped
	`);
	flow("software nesting: entries count from the invalidation on, in whole leaves, and only for those it names", `
		${V2("vtd", "nesting=sw")}
		d = device mmu vfio-pci
		bind d cookie=1
		e = device mmu vfio-pci
		bind e cookie=2
		a = ioasid_alloc
		map a 0x40000000 0x1000000 iova=0
		t = pt_new vtd 0x40000000 0x8000 0x10000
		pt_write t 0x200000 0x400000 level=2
		u = ioasid_alloc kind=user parent=a user_pgtable={format:vtd,addr:0x8000}
		attach d u
		xlate d 0x212345 => hva:0x40412345
		pt_clear t 0x200000
		xlate d 0x212345 => hva:0x40412345
		invalidate u cookie=2
		xlate d 0x212345 => hva:0x40412345
		invalidate u cookie=9 !error
		invalidate u vpasid=3 !error
		invalidate u cookie=1 range=[0x3ff000,0x1000]
		xlate d 0x212345 => fault:any
		pt_write t 0x200000 0x600000 level=2
		invalidate u cache=devtlb
		invalidate u range=[0x3ff000,0x1000]
		xlate d 0x200000 => hva:0x40600000
		invalidate u cache=pasid !error
	`);
	flows("hardware nesting: absent entries are not cached, an invalidation makes changes show, the parent needs none", HARDWARE, (kind) => `
		${V2(kind)}
		${DEVICE}
		a = ioasid_alloc
		map a 0x40000000 0x1000000 iova=0
		t = pt_new ${kind} 0x40000000 0x8000 0x10000
		u = ioasid_alloc kind=user parent=a user_pgtable={format:${kind},addr:0x8000}
		attach d u
		xlate d 0x2000 => fault:stage1
		pt_write t 0x2000 0x1000
		xlate d 0x2000 => hva:0x40001000
		pt_write t 0x2000 0x3000
		xlate d 0x2000 => hva:0x40003000 | hva:0x40001000
		invalidate u range=[0x2000,0x1000]
		xlate d 0x2000 => hva:0x40003000
		pt_write t 0x4000 0x5000 perms=read
		xlate d 0x4000 access=w => fault:perm
		pt_write t 0x6000 0x2000000
		xlate d 0x6000 => fault:stage2
		unmap a 0 0x1000000
		xlate d 0x2000 => fault:stage2
	`);
	flows("narrow tables, and large leaves", ["smmuv3", "riscv"], (kind) => `
		${V2(kind)}
		${DEVICE}
		a = ioasid_alloc
		map a 0x40000000 0x40000000 iova=0
		t = pt_new ${kind} 0x40000000 0x8000 0x10000 width=39
		pt_write t 0x200000 0x400000 level=2
		u = ioasid_alloc kind=user parent=a user_pgtable={format:${kind},addr:0x8000,width:39}
		attach d u
		xlate d 0x212345 => hva:0x40412345
		xlate d 0x8000000000 => fault:stage1
	`);
});

describe("dirty tracking", () => {
	flows("bits are indices, reading clears, starting clears, unmapping tells", HARDWARE, (kind) => `
		${V2(kind)}
		${DEVICE}
		a = ioasid_alloc
		dirty_get a 0 0x1000 0x1000 !error
		attach d a
		map a 0x40000000 0x20000 iova=0x10000
		dma_write d 0x11000 0x10 1
		dirty_start a
		dirty_get a 0x10000 0x20000 0x1000 => bits:[],count:0
		dma_write d 0x13ffc 8 1
		dma_read d 0x15000 4 0
		dirty_get a 0x10000 0x20000 0x1000 => bits:[3,4],count:2
		dirty_get a 0x10000 0x20000 0x1000 => bits:[],count:0
		dma_write d 0x19000 4 1
		dirty_get a 0x10000 0x20000 0x8000 => bits:[1],count:1
		dma_write d 0x1a000 4 1
		unmap a 0x10000 0x20000 get_dirty => size:0x20000,dirty:[10]
		dirty_stop a
		dirty_get a 0x10000 0x1000 0x1000 !error
		dirty_stop a !error
	`, { options: { dirtyTracking: true } });
	flow("a unit that records nothing is refused", `
		${V2("vtd", "dirty=false")}
		${DEVICE}
		a = ioasid_alloc
		dirty_start a
		attach d a !error
		dirty_stop a
		attach d a
		dirty_start a !error
	`, { options: { dirtyTracking: true } });
	flow("not offered", `
		${V2()}
		a = ioasid_alloc
		check_extension dirty_tracking => value:0
		dirty_start a !error
		check_extension map_type1v2 => value:1
		check_extension unknown => value:0
	`);
	flows("what was written is kept when the device leaves, and while a table is made anew", HARDWARE, (kind) => `
		mmu = iommu ${kind}
		ram = mem 0x40000000 0x400000
		fd = open iommu
		d = device mmu vfio-pci pasid
		bind d
		a = ioasid_alloc
		map a 0x40000000 0x100000 iova=0
		attach d a
		dirty_start a
		dma_write d 0x3000 8 0x11
		detach d a
		dirty_get a 0 0x100000 0x1000 => bits:[3]
		dirty_get a 0 0x100000 0x1000 => bits:[]
		attach d a
		dma_write d 0x5000 8 0x11
		device_close d
		dirty_get a 0 0x100000 0x1000 => bits:[5]
		dirty_stop a
		dirty_start a
		dirty_get a 0 0x100000 0x1000 => bits:[]
	`, { options: { dirtyTracking: true } });
	flows("a parent is told what goes through its children, each of them its own", ALL, (kind) => `
		mmu = iommu ${kind} nesting=sw
		ram = mem 0x40000000 0x400000
		fd = open iommu
		d = device mmu vfio-pci
		e = device mmu vfio-pci
		bind d cookie=1
		bind e cookie=2
		gpa = ioasid_alloc
		map gpa 0x40000000 0x100000 iova=0
		giova = ioasid_alloc parent=gpa
		map giova 0x8000 0x4000 iova=0x20000
		same = ioasid_alloc kind=identity parent=gpa
		attach d giova
		attach e same
		dirty_start gpa
		dma_write d 0x21000 8 0x11
		dma_write e 0x30000 8 0x11
		dirty_start giova
		dma_write d 0x22000 8 0x11
		dirty_get gpa 0 0x100000 0x1000 => bits:[9,10,48]
		dirty_get giova 0x20000 0x4000 0x1000 => bits:[2]
		dma_write d 0x20000 8 0x11
		dirty_get giova 0x20000 0x4000 0x1000 => bits:[0]
		dirty_get giova 0x20000 0x4000 0x1000 => bits:[]
		unmap giova 0x20000 0x4000
		dirty_get gpa 0 0x100000 0x1000 => bits:[8]
		dirty_stop gpa
		map giova 0x8000 0x4000 iova=0x20000
		dma_write d 0x23000 8 0x11
		dirty_get gpa 0 0x1000 0x1000 !error
		dirty_get giova 0x20000 0x4000 0x1000 => bits:[3]
	`, { options: { dirtyTracking: true } });
	flows("what goes through a guest's table is the parent's, by hardware and by shadows", HARDWARE, (kind) => ["hw", "sw"].map((nesting, i) => `
		m${i} = iommu ${kind} nesting=${nesting}
		f${i} = open iommu
		r${i} = mem 0x${4 + i}0000000 0x400000
		d${i} = device m${i} vfio-pci
		bind d${i}
		g${i} = ioasid_alloc
		map g${i} 0x${4 + i}0000000 0x400000 iova=0
		t${i} = pt_new ${kind} 0x${4 + i}0000000 0x200000 0x210000
		pt_write t${i} 0x7000 0x9000
		u${i} = ioasid_alloc kind=user parent=g${i} user_pgtable={format:${kind},addr:0x200000}
		attach d${i} u${i}
		dirty_start g${i}
		dma_write d${i} 0x7010 8 0x11
		dirty_get g${i} 0 0x400000 0x1000 => bits:[9]
		dma_write d${i} 0x7010 8 0x11
		pt_write t${i} 0x7000 0xa000
		invalidate u${i}
		dma_write d${i} 0x7010 8 0x11
		dirty_get g${i} 0 0x100000 0x1000 => bits:[9,10]
		dma_write d${i} 0x7010 8 0x11
		detach d${i} u${i}
		dirty_get g${i} 0 0x100000 0x1000 => bits:[10]
	`).join("\n"), { options: { dirtyTracking: true } });
	flow("what software writes is written too, and what it may write as long as it may", `
		mmu = iommu vtd
		ram = mem 0x40000000 0x400000
		fd = open iommu
		h = device mmu kernel
		s = device mmu mdev-sw parent=h
		bind s
		gpa = ioasid_alloc
		map gpa 0x40000000 0x100000 iova=0
		giova = ioasid_alloc parent=gpa
		map giova 0x8000 0x4000 iova=0x20000
		attach s giova
		dirty_start gpa
		access_rw s 0x21000 0x10 write 0x11
		access_rw s 0x20000 0x10 read 0
		dirty_get gpa 0 0x100000 0x1000 => bits:[9]
		p = access_pin s 0x22000 0x2000 write
		dirty_get gpa 0 0x100000 0x1000 => bits:[10,11]
		dirty_get gpa 0 0x100000 0x1000 => bits:[10,11]
		access_unpin s p
		dirty_get gpa 0 0x100000 0x1000 => bits:[10,11]
		dirty_get gpa 0 0x100000 0x1000 => bits:[]
	`, { options: { dirtyTracking: true } });
});
