/**
 * The flows E1 to E22 of the threads with the RFC's own addresses (guest RAM: GPA 0..1G at HVA 0x40000000), on every kind of
 * unit that can have them; where one cannot, the refusal is a flow too.
 */
import { describe } from "vitest";
import { ALL, flow, flows, HARDWARE } from "./flow.ts";

/** Kinds whose PASID tables a guest may own. */
const DELEGATED = ["smmuv3", "amdvi", "riscv"] as const;

const V2 = (kind: string, more = "") => `
	mmu = iommu ${kind} ${more}
	ram = mem 0x40000000 0x40000000
	fd = open iommu
`;
const V1 = (kind: string, more = "") => `
	mmu = iommu ${kind} ${more}
	ram = mem 0x40000000 0x40000000
	fd = open ioasid
`;
const GPA = "gpa = ioasid_alloc\nmap gpa 0x40000000 0x40000000 iova=0";

describe("E1 simple device", () => {
	flows("E1 a device of DPDK, or of QEMU without vIOMMU", ALL, (kind) => `
		${V2(kind)}
		dev1 = device mmu vfio-pci
		dev2 = device mmu vfio-pci
		device_mmap dev1 !EACCES
		bind dev1 cookie=1
		device_mmap dev1
		xlate dev1 0x1000 => fault:blocked
		device_get_info 1 => page_sizes:0x40201000,addr_width:48
		a = ioasid_alloc
		attach dev1 a
		xlate dev1 0 => fault:unmapped
		map a 0x40000000 0x40000000 iova=0
		xlate dev1 0x1000 => hva:0x40001000
		xlate dev1 0x3ffff000 => hva:0x7ffff000
		xlate dev1 0x40000000 => fault:unmapped
		bind dev2 cookie=2
		attach dev2 a
		xlate dev2 0x1000 => hva:0x40001000
		locked 0x40000
		detach dev1 a
		xlate dev1 0x1000 => fault:blocked
		xlate dev2 0x1000 => hva:0x40001000
		ioasid_free a !EBUSY
		device_close dev2
		ioasid_free a
		locked 0
	`);
});

describe("E2 vIOMMU without nesting", () => {
	flows("E2 GIOVA in a root of its own, every page charged per root (v2)", ALL, (kind) => `
		${V2(kind)}
		dev1 = device mmu vfio-pci
		dev2 = device mmu vfio-pci
		bind dev1
		bind dev2
		${GPA}
		attach dev1 gpa
		attach dev2 gpa
		giova = ioasid_alloc
		detach dev2 gpa
		xlate dev2 0x1000 => fault:blocked
		attach dev2 giova
		map giova 0x40001000 0x1000 iova=0x2000
		xlate dev2 0x2000 => hva:0x40001000
		xlate dev2 0x1000 => fault:unmapped
		xlate dev1 0x1000 => hva:0x40001000
		locked 0x40001
	`);
	flows("E2 registered memory is charged once (v1)", ["vtd", "riscv", "amdvi"], (kind) => `
		${V1(kind)}
		dev2 = device mmu vfio-pci
		bind dev2
		register_memory 0x40000000 0x40000000
		giova = ioasid_alloc
		attach dev2 giova
		map giova 0x40001000 0x1000 iova=0x2000
		locked 0x40000
		map giova 0x90000000 0x1000 iova=0x4000 !error
		xlate dev2 0x2000 => hva:0x40001000
		unregister_memory 0x40000000 0x40000000 !EBUSY
	`, { uapi: "v1" });
});

describe("E3 software nesting", () => {
	flows("E3 GIOVA to GPA merged by the kernel", ALL, (kind) => `
		${V2(kind)}
		dev2 = device mmu vfio-pci
		bind dev2
		${GPA}
		giova = ioasid_alloc parent=gpa
		attach dev2 giova
		map giova 0x1000 0x1000 iova=0x2000
		xlate dev2 0x2000 => hva:0x40001000
		locked 0x40000
		lookup giova 0x2000 => parent:0x1000,hva:0x40001000
		unmap gpa 0 0x40000000
		xlate dev2 0x2000 => fault:unmapped
		map gpa 0x40000000 0x40000000 iova=0
		xlate dev2 0x2000 => hva:0x40001000
		unmap giova 0x2000 0x1000
		xlate dev2 0x2000 => fault:unmapped
	`);
});

const nested = (kind: string) => `
	dev1 = device mmu vfio-pci
	bind dev1 cookie=1
	${GPA}
	pt = pt_new ${kind} 0x40000000 0x100000 0x110000
	pt_write pt 0x2000 0x1000
	giova = ioasid_alloc kind=user parent=gpa user_pgtable={format:${kind},addr:0x100000}
`;

describe("E4 hardware nesting", () => {
	flows("E4 the guest's own table over GPA", HARDWARE, (kind) => `
		${V2(kind)}
		${nested(kind)}
		attach dev1 giova
		xlate dev1 0x2000 => hva:0x40001000
		pt_write pt 0x2000 0x3000
		xlate dev1 0x2000 => hva:0x40001000 | hva:0x40003000
		invalidate giova range=[0x2000,0x1000]
		xlate dev1 0x2000 => hva:0x40003000
		pt_write pt 0x5000 0x2000
		xlate dev1 0x5000 => hva:0x40002000
		pt_write pt 0x6000 0x80000000
		xlate dev1 0x6000 => fault:stage2
		xlate dev1 0x7000 => fault:stage1
	`);
	flows("E4 the same behind software nesting: shadows until the invalidation", HARDWARE, (kind) => `
		${V2(kind, "nesting=sw")}
		${nested(kind)}
		attach dev1 giova
		xlate dev1 0x2000 => hva:0x40001000
		pt_write pt 0x2000 0x3000
		pt_write pt 0x5000 0x2000
		xlate dev1 0x2000 => hva:0x40001000
		xlate dev1 0x5000 => fault:any
		invalidate giova
		xlate dev1 0x2000 => hva:0x40003000
		xlate dev1 0x5000 => hva:0x40002000
	`);
	flow("E4 refused where the unit takes no user tables", `
		${V2("vtd", "nesting=none")}
		${nested("vtd")}
		attach dev1 giova !error
		reason [dev1]
		slots dev1 => slots:[],hw:0
	`);
});

describe("E5 vSVA on a function", () => {
	flows("E5 GVA spaces by vPASID beside GPA by RID", HARDWARE, (kind) => `
		${V2(kind)}
		dev1 = device mmu vfio-pci pasid
		bind dev1
		${GPA}
		attach dev1 gpa
		t1 = pt_new ${kind} 0x40000000 0x100000 0x110000
		t2 = pt_new ${kind} 0x40000000 0x200000 0x210000
		pt_write t1 0x7f000000 0x8000
		pt_write t2 0x7f000000 0x9000
		gva1 = ioasid_alloc kind=user parent=gpa user_pgtable={format:${kind},addr:0x100000}
		gva2 = ioasid_alloc kind=user parent=gpa user_pgtable={format:${kind},addr:0x200000}
		attach dev1 gva1 vpasid=1
		xlate dev1 0x7f000000 pasid=1 => hva:0x40008000
		xlate dev1 0x8000 => hva:0x40008000
		xlate dev1 0x7f000000 pasid=2 => fault:pasid
		attach dev1 gva2 vpasid=2
		xlate dev1 0x7f000000 pasid=2 => hva:0x40009000
		xlate dev1 0x7f000000 pasid=1 => hva:0x40008000
		p = ppasid dev1 vpasid=1
		assert_num p eq=1
		slots dev1 => hw:3
	`);
	flow("E5 refused on PAPR: no PASIDs", `
		${V2("ppc")}
		dev1 = device mmu vfio-pci pasid
		bind dev1
		gva = ioasid_alloc
		attach dev1 gva vpasid=1 !error
	`);
});

describe("E6 SIOV parts without ENQCMD", () => {
	flows("E6 two VMs on one parent", HARDWARE, (kind) => `
		mmu = iommu ${kind}
		p = device mmu kernel
		a = device mmu mdev-pasid parent=p pasid
		b = device mmu mdev-pasid parent=p pasid
		vm1 = proc
		vm2 = proc
		m1 = mem 0x40000000 0x40000000 proc=vm1
		m2 = mem 0x40000000 0x40000000 proc=vm2
		fd1 = open iommu proc=vm1
		fd2 = open iommu proc=vm2
		bind a fd=fd1
		xlate p 0x1000 => host:true
		xlate a 0x1000 => fault:blocked
		bind b fd=fd2
		g1 = ioasid_alloc fd=fd1
		g2 = ioasid_alloc fd=fd2
		map g1 0x40000000 0x40000000 iova=0 fd=fd1 proc=vm1
		map g2 0x40000000 0x40000000 iova=0 fd=fd2 proc=vm2
		attach a g1 fd=fd1
		attach b g2 fd=fd2
		attach a g1 vpasid=1 fd=fd1
		attach b g2 vpasid=1 fd=fd2
		pa = ppasid a vpasid=1
		pb = ppasid b vpasid=1
		da = ppasid a
		assert_num pa ne=pb
		assert_num pa ne=da
		mmio_pasid a 1
		dma_write a 0x1000 0x10 0xa1 pasid=1
		dma_write b 0x1000 0x10 0xb1 pasid=1
		mem_check 0x40001000 0x10 0xa1 proc=vm1
		mem_check 0x40001000 0x10 0xb1 proc=vm2
		xlate a 0x1000 pasid=pb => fault:pasid
		mmio_pasid a pb !error
		locked 0x40000 proc=vm1
	`);
});

describe("E7 SIOV parts with ENQCMD", () => {
	flows("E7 one global PASID over two parents, translated by KVM", HARDWARE, (kind) => `
		${V2(kind)}
		r1 = device mmu kernel
		r2 = device mmu kernel
		mdev1 = device mmu mdev-pasid parent=r1 pasid dmwr
		mdev2 = device mmu mdev-pasid parent=r2 pasid dmwr
		vm1 = vm
		vm_assign vm1 mdev1
		vm_assign vm1 mdev2
		bind mdev1
		bind mdev2
		${GPA}
		t = pt_new ${kind} 0x40000000 0x100000 0x110000
		pt_write t 0x7f000000 0x8000
		gva = ioasid_alloc kind=user parent=gpa user_pgtable={format:${kind},addr:0x100000}
		enqcmd vm1 mdev1 1 0x7f000000 => refused:portal
		kvm_pasid_cap vm1 true
		attach mdev1 gva vpasid=1
		attach mdev2 gva vpasid=1
		p1 = ppasid mdev1 vpasid=1
		p2 = ppasid mdev2 vpasid=1
		assert_num p1 eq=p2
		enqcmd vm1 mdev1 1 0x7f000000 => refused:translation
		kvm_map_pasid vm1 1 gva
		enqcmd vm1 mdev1 1 0x7f000000 => hva:0x40008000
		enqcmd vm1 mdev2 1 0x7f000000 => hva:0x40008000
		kvm_unmap_pasid vm1 1
		enqcmd vm1 mdev1 1 0x7f000000 => refused:translation
		fd2 = open iommu
		other = ioasid_alloc fd=fd2
		kvm_map_pasid vm1 1 other fd=fd2 !error
	`);
});

describe("E8 a function and a part with ENQCMD in one VM", () => {
	const mix = (kind: string) => `
		${V2(kind)}
		r = device mmu kernel
		pdev = device mmu vfio-pci pasid dmwr
		mdev = device mmu mdev-pasid parent=r pasid dmwr
		vm1 = vm
		vm_assign vm1 pdev
		vm_assign vm1 mdev
		bind pdev
		bind mdev
		gva = ioasid_alloc
		map gva 0x40000000 0x10000 iova=0
		attach pdev gva vpasid=1
		attach mdev gva vpasid=1
		vfio_device_info pdev => pasid_cpu:true,pasid_cpu_virt:false
		vfio_device_info mdev => pasid_cpu:true,pasid_cpu_virt:true
		kvm_pasid_cap vm1 true
		kvm_map_pasid vm1 1 gva
		enqcmd vm1 mdev 1 0x1000 => hva:0x40001000
		xlate pdev 0x1000 pasid=1 => hva:0x40001000
	`;
	flows("E8 the function gets a number that it does not have", HARDWARE, (kind) => `
		${mix(kind)}
		enqcmd vm1 pdev 1 0x1000 => fault:pasid
	`);
	flows("E8 with an alias both numbers lead there", HARDWARE, (kind) => `
		${mix(kind)}
		enqcmd vm1 pdev 1 0x1000 => hva:0x40001000
	`, { options: { pasidAlias: true } });
});

describe("E9 delegated PASID table", () => {
	flows("E9 the guest owns the PASIDs of a RID", DELEGATED, (kind) => `
		${V2(kind)}
		dev = device mmu vfio-pci pasid delegated
		bind dev cookie=1
		${GPA}
		cd = pasid_table_new ${kind} 0x40000000 0x300000 16
		t5 = pt_new ${kind} 0x40000000 0x100000 0x110000
		t6 = pt_new ${kind} 0x40000000 0x200000 0x210000
		pt_write t5 0x7f0000 0x8000
		pt_write t6 0x7f0000 0x9000
		pasid_table_write cd 5 t5
		pasid_table_write cd 6 t6
		all = ioasid_alloc kind=user parent=gpa user_pasid_table={format:${kind},addr:0x300000,size:16}
		attach dev all
		xlate dev 0x7f0000 pasid=5 => hva:0x40008000
		xlate dev 0x7f0000 pasid=6 => hva:0x40009000
		xlate dev 0x7f0000 pasid=7 => fault:pasid
		xlate dev 0x7f0000 pasid=16 => fault:pasid
		xlate dev 0x8000 => hva:0x40008000
		pasid_table_write cd 5 t6
		xlate dev 0x7f0000 pasid=5 => hva:0x40008000 | hva:0x40009000
		invalidate all cache=pasid cookie=1 vpasid=5
		invalidate all cache=iotlb cookie=1 vpasid=5
		xlate dev 0x7f0000 pasid=5 => hva:0x40009000
		xlate dev 0x7f0000 pasid=6 => hva:0x40009000
		attach dev gpa vpasid=3 !error
		dma_miss dev 0x700000 pasid=5
		events => events:[{ioasid:$all,cookie:1,addr:0x700000,perm:r,recoverable:false,pasid:5}]
		slots dev => slots:[{mode:pasid_table,vpasid:null,ioasid:$all}],hw:1
	`);
	flows("E9 tracked, and written by the guest alone (v1)", DELEGATED, (kind) => `
		${V1(kind)}
		d = device mmu vfio-pci pasid delegated
		bind d
		gpa = ioasid_alloc
		attach d gpa
		map gpa 0x40000000 0x40000000 iova=0
		tab = create_nesting gpa
		attach d tab
		cd = pasid_table_new ${kind} 0x40000000 0x300000 16
		bind_pasid_table tab ${kind} 0x300000 16
		gva = create_nesting gpa
		attach d gva vpasid=3
		bind_pgtable gva ${kind} 0x100000
		slots d => slots:[{ioasid:$gpa},{mode:pasid_table,ioasid:$tab},{vpasid:3,ioasid:$gva}],hw:1
		t = pt_new ${kind} 0x40000000 0x100000 0x110000
		pt_write t 0x7000 0x8000
		xlate d 0x7000 pasid=3 => fault:pasid
		pasid_table_write cd 3 t
		xlate d 0x7000 pasid=3 => hva:0x40008000
	`, { uapi: "v1" });
	flow("E9 refused on VT-d: no such table", `
		${V2("vtd")}
		dev = device mmu vfio-pci pasid delegated
		bind dev cookie=1
		device_get_info 1 => pasid_table:false
		${GPA}
		all = ioasid_alloc kind=user parent=gpa user_pasid_table={format:smmuv3,addr:0x300000,size:16}
		attach dev all !error
		reason [dev]
	`);
});

describe("E10 I/O page fault", () => {
	flows("E10 the guest brings the page, each device gets its own answer", HARDWARE, (kind) => `
		${V2(kind)}
		d = device mmu vfio-pci pasid pri
		e = device mmu vfio-pci pasid pri
		n = device mmu vfio-pci pasid
		bind d cookie=1
		bind e cookie=2
		bind n cookie=3
		${GPA}
		t = pt_new ${kind} 0x40000000 0x100000 0x110000
		gva = ioasid_alloc kind=user parent=gpa user_pgtable={format:${kind},addr:0x100000}
		attach d gva vpasid=1
		attach e gva vpasid=1
		attach n gva vpasid=1
		r1 = page_request d 0x7f000000 pasid=1
		r2 = page_request e 0x7f000000 pasid=1 access=w
		dma_miss n 0x7f000000 pasid=1
		events => events:[{ioasid:$gva,cookie:1,addr:0x7f000000,perm:r,recoverable:true},{ioasid:$gva,cookie:2,addr:0x7f000000,perm:w,recoverable:true},{ioasid:$gva,cookie:3,recoverable:false}]
		pt_write t 0x7f000000 0x8000
		fault_respond gva 0x7f000000 success cookie=1 vpasid=1
		fault_state r1 => state:success
		fault_state r2 => state:pending
		xlate d 0x7f000000 pasid=1 => hva:0x40008000
		fault_respond gva 0x7f000000 invalid cookie=2
		fault_state r2 => state:invalid
		fault_respond gva 0x7f000000 success cookie=3 !error
		r3 = page_request d 0x7f100000 pasid=1
		detach d gva vpasid=1
		fault_state r3 => state:invalid
	`);
});

describe("E11 kvmgt", () => {
	flows("E11 software part behind a vIOMMU; the parent keeps its DMA", ALL, (kind) => `
		${V2(kind)}
		igd = device mmu kernel
		gvt = device mmu mdev-sw parent=igd
		bind gvt
		slots igd => hw:0
		${GPA}
		giova = ioasid_alloc parent=gpa
		attach gvt giova hints=no_auto_pin
		map giova 0x1000 0x1000 iova=0x2000
		locked 0
		p = access_pin gvt 0x2000 0x1000 => hva:[0x40001000]
		locked 1
		access_lookup_parent gvt 0x2000 => addr:0x1000
		unmap giova 0x2000 0x1000
		access_notified gvt => ranges:[[0x2000,0x1000]]
		locked 0
		xlate igd 0x5000 => host:true
	`);
});

describe("E12 PAPR", () => {
	const papr = (kind: string) => `
		${V2(kind, kind === "ppc" ? "addr_width=60" : "addr_width=57")}
		dev = device mmu vfio-pci
		bind dev
		${GPA}
		xlate dev 0x10000 => fault:blocked
		tce = ioasid_alloc parent=gpa windows
		w0 = window_create tce 0x40000000 0x1000 base=0
		attach dev tce
		vm1 = vm
		kvm_add_liobn vm1 1 tce
		h_put_tce vm1 1 0x10000 0x4000
		xlate dev 0x10000 => hva:0x40004000
	`;
	flow("E12 two windows, made and removed by the guest (ppc)", `
		${papr("ppc")}
		w1 = window_create tce 0x40000000 0x10000 base=0x800000000000000
		map tce 0 0x40000000 iova=0x800000000000000
		xlate dev 0x800000000010000 => hva:0x40010000
		xlate dev 0x10000 => hva:0x40004000
		map tce 0 0x1000 iova=0x80000000 !EINVAL
		window_remove tce 0
		xlate dev 0x10000 => fault:unmapped
		xlate dev 0x800000000010000 => hva:0x40010000
		window_create tce 0x40000000 0x1000 base=0
		xlate dev 0x10000 => fault:unmapped
		x = map tce 0 0x1000 alloc
		assert_num x in=[0,0xffffffffffffffff]
		locked 0x40000
		map tce 0x40000000 0x1000 iova=0x20000
		xlate dev 0x20000 => fault:unmapped
	`);
	flows("E12 the low window on other hosts is a range check; the high one is too wide", ["vtd", "riscv"], (kind) => `
		${papr(kind)}
		window_create tce 0x40000000 0x10000 base=0x800000000000000 !error
		xlate dev 0x10000 => hva:0x40004000
	`);
});

describe("E13 a foreign vIOMMU", () => {
	flows("E13 the ladder: unknown format, another unit's format, shadow by MAP", HARDWARE, (kind) => `
		${V2(kind)}
		dev = device mmu vfio-pci
		bind dev cookie=1
		${GPA}
		x = ioasid_alloc kind=user parent=gpa user_pgtable={format:unknown,addr:0x100000} !EOPNOTSUPP
		foreign = ioasid_alloc kind=user parent=gpa user_pgtable={format:${kind === "smmuv3" ? "vtd" : "smmuv3"},addr:0x100000}
		attach dev foreign !EINVAL
		device_get_info 1 => formats:[${kind}]
		shadow = ioasid_alloc parent=gpa
		attach dev shadow
		map shadow 0x1000 0x1000 iova=0x2000
		xlate dev 0x2000 => hva:0x40001000
	`);
	flows("E13 software nesting takes a foreign table, as E4", ["vtd", "amdvi", "riscv"], (kind) => `
		${V2(kind, "nesting=sw")}
		dev1 = device mmu vfio-pci
		bind dev1
		${GPA}
		pt = pt_new smmuv3 0x40000000 0x100000 0x110000
		pt_write pt 0x2000 0x1000
		arm = ioasid_alloc kind=user parent=gpa user_pgtable={format:smmuv3,addr:0x100000}
		attach dev1 arm
		xlate dev1 0x2000 => hva:0x40001000
		pt_write pt 0x2000 0x3000
		invalidate arm range=[0x2000,0x1000]
		xlate dev1 0x2000 => hva:0x40003000
	`);
});

describe("E14 nested guests", () => {
	flows("E14 L2 over L1 over L0, in software", ["vtd", "smmuv3", "amdvi", "riscv", "ppc"], (kind) => `
		${V2(kind, "nesting=sw")}
		dev = device mmu vfio-pci
		bind dev
		${GPA}
		l2gpa = ioasid_alloc parent=gpa
		l2gva = ioasid_alloc parent=l2gpa
		attach dev l2gva
		map l2gpa 0x100000 0x10000 iova=0
		map l2gva 0x3000 0x1000 iova=0x7f000000
		xlate dev 0x7f000008 => hva:0x40103008
		lookup l2gva 0x7f000000 => parent:0x3000,hva:0x40103000
	`);
	flows("E14 the hardware has two levels: L1 merges two of its own", HARDWARE, (kind) => `
		${V2(kind)}
		dev = device mmu vfio-pci
		bind dev
		${GPA}
		l2gpa = ioasid_alloc parent=gpa
		l2gva = ioasid_alloc parent=l2gpa
		attach dev l2gva !error
		pt = pt_new ${kind} 0x40000000 0x200000 0x210000
		pt_write pt 0x7f000000 0x103000
		merged = ioasid_alloc kind=user parent=gpa user_pgtable={format:${kind},addr:0x200000}
		attach dev merged
		xlate dev 0x7f000008 => hva:0x40103008
	`);
});

describe("E15 vDPA", () => {
	flows("E15 beside a VFIO device on one GPA; the control queue in a buffer of its own", HARDWARE, (kind) => `
		${V2(kind)}
		nic = device mmu vfio-pci
		q = device mmu vdpa pasid
		bind nic
		bind q
		${GPA}
		attach nic gpa
		attach q gpa
		locked 0x40000
		xlate nic 0x1000 => hva:0x40001000
		xlate q 0x1000 => hva:0x40001000
		cvq = ioasid_alloc
		map cvq 0x40002000 0x1000 iova=0x100000000
		attach q cvq queue=cvq
		xlate q 0x100000000 queue=cvq => hva:0x40002000
		xlate q 0x1000 queue=cvq => fault:unmapped
		xlate q 0x100000000 => fault:unmapped
	`);
	flows("E15 refused behind an IOMMU that cannot enforce snooping", HARDWARE, (kind) => `
		${V2(kind, "snoop_enforce=false")}
		q = device mmu vdpa pasid
		bind q !EOPNOTSUPP
		reason [q]
	`);
});

describe("E16 groups", () => {
	flows("E16 two functions without ACS", ALL, (kind) => `
		${V2(kind)}
		f0 = device mmu kernel group=ten
		f1 = device mmu vfio-pci group=ten
		bind f1 !EINVAL
		reason [f0]
		probe f0 vfio-pci
		bind f1
		xlate f0 0x1000 => fault:blocked
		bind f0
		${GPA}
		other = ioasid_alloc
		attach f0 gpa
		attach f1 other !EBUSY
		attach f1 gpa
		detach f1 gpa
		xlate f1 0x1000 => hva:0x40001000
		device_close f1
		probe f1 kernel !error
		fd2 = open iommu
		bind f1 fd=fd2 !EBUSY
		device_close f0
		xlate f1 0x1000 => host:true
		slot_history f1 => default_seen:true
	`);
	flows("E16 the other answer: a function that is detached alone is blocked", ALL, (kind) => `
		${V2(kind)}
		f0 = device mmu vfio-pci group=ten
		f1 = device mmu vfio-pci group=ten
		bind f0
		bind f1
		${GPA}
		attach f0 gpa
		attach f1 gpa
		detach f1 gpa
		xlate f1 0x1000 => fault:blocked
		xlate f0 0x1000 => hva:0x40001000
	`, { options: { groupDetach: "each" } });
	flows("E16 conventional PCI: one RID for all, a driverless disk moves with the NIC", ALL, (kind) => `
		${V2(kind)}
		nic = device mmu vfio-pci group=bus
		hd = device mmu kernel alias_of=nic
		bind nic !EINVAL
		reason [hd]
		probe hd none
		bind nic
		${GPA}
		attach nic gpa
		xlate hd 0x1000 => hva:0x40001000
		group_info nic => shared_ioas:true,members:[hd,nic]
	`);
});

describe("E17 no-snoop", () => {
	flows("E17 a graphics device beside a NIC", HARDWARE, (kind) => `
		strong = iommu ${kind}
		weak = iommu ${kind} snoop_enforce=false
		ram = mem 0x40000000 0x40000000
		fd = open iommu
		nic = device strong vfio-pci
		igd = device weak vfio-pci no_snoop
		bind nic
		bind igd
		vm1 = vm
		kvm_add_fd vm1
		dummy = ioasid_alloc kind=dummy
		map dummy 0x40000000 0x40000000 iova=0x40000000
		gpaA = ioasid_alloc parent=dummy snoop=enforce
		gpaB = ioasid_alloc parent=dummy snoop=no
		map gpaA 0x40000000 0x40000000 iova=0
		map gpaB 0x40000000 0x40000000 iova=0
		attach nic gpaA
		attach igd gpaA !EINVAL
		wbinvd vm1 => real:false
		attach igd gpaB
		locked 0x40000
		wbinvd vm1 => real:true
		xlate igd 0x1000 => hva:0x40001000
		unplug igd
		wbinvd vm1 => real:false
		fd_wbinvd !ENXIO
	`);
});

describe("E18 container", () => {
	flows("E18 the old order of calls on the new objects", ALL, (kind) => `
		mmu = iommu ${kind}
		ram = mem 0x40000000 0x40000000
		c = open vfio
		dev1 = device mmu vfio-pci group=g
		p = device mmu kernel
		sw = device mmu mdev-sw parent=p group=h
		vfio_set_container g c
		vfio_set_container h c
		vfio_set_iommu c type1v2
		vfio_get_device_fd dev1
		vfio_map c 0 0x40000000 0x40000000
		xlate dev1 0x1000 => hva:0x40001000
		xlate dev1 0x40000000 => fault:unmapped
		slots dev1 => slots:[{mode:rid}]
		slots sw => slots:[{mode:sw}]
		hid = vfio_ioasid c get
		lookup hid 0x1000 fd=c => hva:0x40001000
		vfio_hidden_count c 1
		vfio_unmap c 0 0x1000 !EINVAL
		vfio_unmap c 0 0x40000000 => size:0x40000000
		locked 0
	`, { uapi: "vfio" });
	flows("E18 type1 cuts", ALL, (kind) => `
		mmu = iommu ${kind}
		ram = mem 0x40000000 0x40000000
		c = open vfio
		dev1 = device mmu vfio-pci group=g
		vfio_set_container g c
		vfio_set_iommu c type1
		vfio_map c 0 0x40000000 0x200000
		vfio_unmap c 0x1000 0x1000 => size:0x1000
		xlate dev1 0x1000 => fault:unmapped
		xlate dev1 0x2000 => hva:0x40002000
	`, { uapi: "vfio" });
});

describe("E19 migration", () => {
	flows("E19 the vPASID stays, the number behind it may change", HARDWARE, (kind) => `
		${V2(kind)}
		dst = iommu ${kind}
		r1 = device mmu kernel
		r2 = device dst kernel
		m1 = device mmu mdev-pasid parent=r1 pasid dmwr
		m2 = device dst mdev-pasid parent=r2 pasid dmwr
		vm1 = vm
		vm_assign vm1 m1
		kvm_pasid_cap vm1 true
		bind m1
		src = ioasid_alloc
		map src 0x40000000 0x10000 iova=0
		attach m1 src vpasid=1
		kvm_map_pasid vm1 1 src
		enqcmd vm1 m1 1 0x1000 => hva:0x40001000
		p1 = ppasid m1 vpasid=1
		fd2 = open iommu
		vm2 = vm
		vm_assign vm2 m2
		kvm_pasid_cap vm2 true
		bind m2 fd=fd2
		copy = ioasid_alloc fd=fd2
		map copy 0x40000000 0x10000 iova=0 fd=fd2
		attach m2 copy vpasid=1 fd=fd2
		kvm_map_pasid vm2 1 copy fd=fd2
		p2 = ppasid m2 vpasid=1
		assert_num p1 ne=p2
		enqcmd vm2 m2 1 0x1000 => hva:0x40001000
	`);
	flows("E19 a host with a hole where the guest has memory fails early", HARDWARE, (kind) => `
		${V2(kind)}
		dst = iommu ${kind} reserved=[[0x100000,0x1fffff]]
		e = device dst vfio-pci
		bind e
		copy = ioasid_alloc
		attach e copy
		map copy 0x40000000 0x40000000 iova=0 !EINVAL
		locked 0
	`);
});

describe("E20 dirty tracking", () => {
	flows("E20 writes mark, reads do not, unmapping tells", HARDWARE, (kind) => `
		${V2(kind)}
		dev1 = device mmu vfio-pci
		bind dev1
		a = ioasid_alloc
		attach dev1 a
		map a 0x40000000 0x400000 iova=0
		dirty_start a
		dma_write dev1 0x3000 8 0x11
		dma_read dev1 0x5000 8 0
		dirty_get a 0 0x400000 0x1000 => bits:[3],count:1
		dirty_get a 0 0x400000 0x1000 => bits:[],count:0
		dma_write dev1 0x201000 8 0x11
		unmap a 0 0x400000 get_dirty => dirty:[513],size:0x400000
	`, { options: { dirtyTracking: true } });
	flows("E20 without a split, a 2 MiB leaf dirties as a whole", HARDWARE, (kind) => `
		${V2(kind)}
		dev1 = device mmu vfio-pci
		bind dev1
		a = ioasid_alloc
		attach dev1 a
		map a 0x40000000 0x400000 iova=0
		dirty_start a
		dma_write dev1 0x3000 8 0x11
		dirty_get a 0 0x400000 0x200000 => bits:[0],count:1
		dma_write dev1 0x203000 8 0x11
		dirty_get a 0x200000 0x8000 0x1000 => bits:[0,1,2,3,4,5,6,7],count:8
	`, { options: { dirtyTracking: true, dirtySplit: false } });
});

describe("E21 hot-plug", () => {
	flows("E21 a device that does not fit is refused, a new root under the dummy takes it", HARDWARE, (kind) => `
		${V2(kind)}
		weak = iommu ${kind} snoop_enforce=false
		holed = iommu ${kind} reserved=[[0x100000,0x1fffff]]
		dev1 = device mmu vfio-pci
		bind dev1
		dummy = ioasid_alloc kind=dummy
		map dummy 0x40000000 0x40000000 iova=0x40000000
		gpa = ioasid_alloc parent=dummy
		map gpa 0x40000000 0x40000000 iova=0
		attach dev1 gpa
		dev3 = device weak vfio-pci
		bind dev3
		attach dev3 gpa !EINVAL
		slots dev3 => slots:[],hw:0
		xlate dev1 0x1000 => hva:0x40001000
		gpa2 = ioasid_alloc parent=dummy
		map gpa2 0x40000000 0x40000000 iova=0
		attach dev3 gpa2
		xlate dev3 0x1000 => hva:0x40001000
		locked 0x40000
		dev4 = device holed vfio-pci
		bind dev4
		attach dev4 gpa !EADDRINUSE
		unplug dev1
		ioasid_free gpa
	`);
});

describe("E22 what must be refused", () => {
	flows("E22 foreign numbers, unbound devices, forged PASIDs, escapes", HARDWARE, (kind) => `
		${V2(kind)}
		fd2 = open iommu
		pdev = device mmu vfio-pci pasid
		rmrr = device mmu vfio-pci rmrr
		r = device mmu kernel
		mdev = device mmu mdev-pasid parent=r pasid dmwr
		vm1 = vm
		mine = ioasid_alloc
		foreign = ioasid_alloc fd=fd2
		foreign2 = ioasid_alloc fd=fd2
		attach pdev mine !error
		bind pdev
		attach pdev foreign2 !EINVAL
		x = ioasid_alloc parent=foreign2 !EINVAL
		bind rmrr !EPERM
		bind r !error
		bind mdev
		kvm_pasid_cap vm1 true
		kvm_map_pasid vm1 1 mine !error
		mmio_pasid mdev 1 !error
		map mine 0x40000000 0x400000 iova=0
		pt = pt_new ${kind} 0x40000000 0x100000 0x110000
		pt_write pt 0x2000 0x40000000
		u = ioasid_alloc kind=user parent=mine user_pgtable={format:${kind},addr:0x100000}
		attach pdev u
		xlate pdev 0x2000 => fault:stage2
		y = ioasid_alloc parent=u !error
		map u 0x40000000 0x1000 iova=0 !error
		xlate pdev 0x2000 pasid=9 => fault:pasid
	`);
});
