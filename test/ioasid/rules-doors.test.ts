/** What scenarios/ioasid.md says of software devices, KVM, faults, containers and queries, where no scenario of the set does. */
import { describe } from "vitest";
import { flow, flows, HARDWARE } from "./flow.ts";

const V2 = (kind = "vtd", more = "") => `
	mmu = iommu ${kind} ${more}
	ram = mem 0x40000000 0x40000000
	fd = open iommu
`;

describe("software access", () => {
	flow("pins: one address per page, write rights, told in the order of the pins, dropped with the unmap", `
		${V2()}
		m = device mmu mdev-sw
		bind m
		a = ioasid_alloc
		map a 0x40000000 0x2000 iova=0x10000
		map a 0x40008000 0x2000 iova=0x12000 flags=read
		attach m a
		p = access_pin m 0x12ff0 0x20 => hva:[0x40008000,0x40009000]
		q = access_pin m 0x11000 0x1800 => hva:[0x40001000,0x40008000]
		r = access_pin m 0x10008 8 write => hva:[0x40000000]
		access_pin m 0x12000 8 write !error
		access_pin m 0x13ff0 0x20 !error
		access_pin m 0x20000 8 !error
		unmap a 0x12000 0x2000 => size:0x2000
		access_notified m => ranges:[[0x12ff0,0x20],[0x11000,0x1800]]
		access_notified m => ranges:[]
		access_unpin m p !error
		access_unpin m r
		unmap a 0x10000 0x2000
		access_notified m => ranges:[]
		access_rw m 0x10000 4 read 0 !error
	`);
	flow("the order is that of the pins over a whole unmap, and through a child", `
		${V2()}
		m = device mmu mdev-sw
		bind m
		a = ioasid_alloc
		c = ioasid_alloc parent=a
		map a 0x40000000 0x1000 iova=0
		map a 0x40001000 0x1000 iova=0x1000
		map c 0 0x1000 iova=0x8000
		map c 0x1000 0x1000 iova=0x9000
		attach m c
		p = access_pin m 0x9000 4
		q = access_pin m 0x8000 4
		unmap a 0 0x2000 => size:0x2000
		access_notified m => ranges:[[0x9000,4],[0x8000,4]]
	`);
	flow("through identity and user tables too", `
		${V2()}
		m = device mmu mdev-sw
		n = device mmu mdev-sw
		bind m
		bind n
		a = ioasid_alloc
		map a 0x40000000 0x100000 iova=0
		i = ioasid_alloc kind=identity parent=a
		t = pt_new vtd 0x40000000 0x8000 0x10000
		pt_write t 0x7000 0x3000
		u = ioasid_alloc kind=user parent=a user_pgtable={format:vtd,addr:0x8000}
		attach m i
		attach n u
		p = access_pin m 0x5000 4 => hva:[0x40005000]
		q = access_pin n 0x7010 4 => hva:[0x40003000]
		access_lookup_parent n 0x7010 => addr:0x3010
		access_lookup_parent m 0x7010 => addr:0x7010
		access_rw n 0x7ff0 0x10 write 0x77
		mem_check 0x40003ff0 0x10 0x77
		access_rw n 0x7ff0 0x20 write 0x77 !error
		unmap a 0 0x100000
		access_notified m => ranges:[[0x5000,4]]
		access_notified n => ranges:[[0x7010,4]]
		locked 0
	`);
});

describe("KVM", () => {
	flow("portals and translation, step by step", `
		${V2()}
		p = device mmu kernel
		m = device mmu mdev-pasid parent=p pasid dmwr
		f = device mmu vfio-pci pasid dmwr
		g = device mmu vfio-pci pasid
		v = vm
		bind m
		bind f
		bind g
		a = ioasid_alloc
		map a 0x40000000 0x10000 iova=0
		attach m a vpasid=1
		attach f a vpasid=1
		enqcmd v m 1 0x10 => refused:portal
		vm_assign v m
		vm_assign v f
		vm_assign v g
		enqcmd v m 1 0x10 => refused:portal
		enqcmd v f 1 0x10 => hva:0x40000010
		enqcmd v f 2 0x10 => fault:pasid
		enqcmd v g 1 0x10 => refused:portal
		kvm_map_pasid v 1 a !error
		kvm_pasid_cap v true
		enqcmd v m 1 0x10 => refused:translation
		kvm_map_pasid v 2 a !error
		kvm_map_pasid v 1 77 !error
		kvm_map_pasid v 1 a
		enqcmd v m 1 0x10 => hva:0x40000010
		enqcmd v m 1 0x20000 => fault:unmapped
		enqcmd v f 1 0x10 => fault:pasid
		kvm_unmap_pasid v 2 !error
		kvm_pasid_cap v false
		kvm_pasid_cap v true
		enqcmd v m 1 0x10 => refused:translation
		kvm_map_pasid v 1 a
		detach m a vpasid=1
		enqcmd v m 1 0x10 => refused:translation
	`);
	flow("an entry lives as long as some part has the number", `
		${V2()}
		p = device mmu kernel
		q = device mmu kernel
		m = device mmu mdev-pasid parent=p pasid dmwr
		n = device mmu mdev-pasid parent=q pasid dmwr
		v = vm
		bind m
		bind n
		a = ioasid_alloc
		b = ioasid_alloc
		map a 0x40000000 0x1000 iova=0
		map b 0x40001000 0x1000 iova=0
		vm_assign v n
		kvm_pasid_cap v true
		attach m a vpasid=1
		attach n a vpasid=1
		x = ppasid m vpasid=1
		y = ppasid n vpasid=1
		assert_num x eq=y
		kvm_map_pasid v 1 a
		device_close m
		enqcmd v n 1 0 => hva:0x40000000
		attach n b vpasid=2
		kvm_map_pasid v 2 b
		kvm_map_pasid v 1 b !error
		enqcmd v n 2 0 => hva:0x40001000
		mmio_pasid n 2
		mmio_pasid n 3 !error
		device_close n
		enqcmd v n 1 0 => refused:translation
		unplug n
		enqcmd v n 1 0 => refused:portal
	`);
	flow("busy: what KVM translates to stays attached", `
		${V2()}
		p = device mmu kernel
		q = device mmu kernel
		m = device mmu mdev-pasid parent=p pasid dmwr
		n = device mmu mdev-pasid parent=q pasid dmwr
		v = vm
		bind m
		bind n
		a = ioasid_alloc
		attach m a vpasid=1
		attach n a vpasid=1
		kvm_pasid_cap v true
		kvm_map_pasid v 1 a
		detach m a vpasid=1 !EBUSY
		detach n a vpasid=1 !EBUSY
		kvm_unmap_pasid v 1
		detach m a vpasid=1
		kvm_map_pasid v 1 a
		device_close n
		kvm_unmap_pasid v 1 !error
	`, { options: { kvmFree: "busy" } });
	flow("a guarded VM holds no mix, whatever came first", `
		${V2()}
		p = device mmu kernel
		m = device mmu mdev-pasid parent=p pasid dmwr
		f = device mmu vfio-pci pasid dmwr
		h = device mmu vfio-pci dmwr
		v = vm
		vm_assign v m
		vm_assign v h
		vm_assign v f
		kvm_pasid_cap v true !error
		w = vm
		vm_assign w m
		kvm_pasid_cap w true
		vm_assign w f !error
	`, { options: { mixGuard: true } });
	flow("alias: a function answers to the guest's number and to the global one", `
		${V2()}
		p = device mmu kernel
		m = device mmu mdev-pasid parent=p pasid dmwr
		f = device mmu vfio-pci pasid dmwr
		bind m
		bind f
		a = ioasid_alloc
		map a 0x40000000 0x1000 iova=0
		attach m a vpasid=1
		attach f a vpasid=1
		g = ppasid m vpasid=1
		xlate f 4 raw_pasid=1 => hva:0x40000004
		xlate f 4 raw_pasid=g => hva:0x40000004
		slots f => hw:2
		detach f a vpasid=1
		xlate f 4 raw_pasid=g => fault:pasid
		slots f => hw:0
	`, { options: { pasidAlias: true } });
	flow("quota, and the number that attach shows", `
		${V2()}
		f = device mmu vfio-pci pasid
		g = device mmu vfio-pci pasid
		bind f
		bind g
		a = ioasid_alloc
		attach f a => ppasid_visible:false
		attach f a vpasid=1 => ppasid_visible:true
		attach g a vpasid=1
		attach g a vpasid=2 !ENOSPC
		detach f a vpasid=1
		attach g a vpasid=2
	`, { options: { pasidQuota: 2, exposePasid: true } });
	flow("what a guest sees of PASIDs; a later part of one function shows none (hideSecond)", `
		${V2()}
		p = device mmu kernel
		m = device mmu mdev-pasid parent=p pasid dmwr
		n = device mmu mdev-pasid parent=p pasid dmwr
		f = device mmu vfio-pci pasid dmwr delegated
		s = device mmu mdev-sw
		vfio_device_info m !error
		bind m
		bind n
		bind f
		bind s
		vfio_device_info m => pasid:true,pasid_delegated:false,pasid_cpu:true,pasid_cpu_virt:true
		vfio_device_info n => pasid:false,pasid_delegated:false,pasid_cpu:false,pasid_cpu_virt:false
		vfio_device_info f => pasid:true,pasid_delegated:true,pasid_cpu:true,pasid_cpu_virt:false
		vfio_device_info s => pasid:false
		x = pasid_space m
		y = pasid_space n
		z = pasid_space f
		assert_num x eq=y
		assert_num x ne=z
	`, { options: { hideSecond: true } });
	flow("hypercalls map the child's window, page by page, replacing", `
		${V2("ppc")}
		d = device mmu vfio-pci
		bind d
		a = ioasid_alloc
		map a 0x40000000 0x100000 iova=0
		t = ioasid_alloc parent=a windows
		window_create t 0x100000 0x10000 base=0x800000
		attach d t
		v = vm
		kvm_add_liobn v 9 t
		h_put_tce v 9 0x810000 0x20000
		xlate d 0x81f00c => hva:0x4002f00c
		h_put_tce v 9 0x810000 0x40000
		xlate d 0x81f00c => hva:0x4004f00c
		h_put_tce v 9 0x810000 0 clear
		xlate d 0x81f00c => fault:unmapped
		h_put_tce v 9 0x900000 0 !error
		h_put_tce v 8 0x810000 0 !error
		h_put_tce v 9 0x811000 0 !error
	`);
});

describe("faults", () => {
	flow("requests wait for their own answer; the oldest first, narrowed by cookie and vPASID", `
		${V2()}
		d = device mmu vfio-pci pasid pri
		e = device mmu vfio-pci pasid pri
		bind d cookie=11
		bind e cookie=22
		a = ioasid_alloc
		r0 = page_request d 0x5000
		fault_state r0 => state:invalid
		events => events:[]
		attach d a
		attach d a vpasid=1
		attach e a
		r1 = page_request d 0x5000
		r2 = page_request d 0x5000 pasid=1 access=w
		r3 = page_request e 0x5000
		fault_respond a 0x5000 success cookie=22
		fault_state r3 => state:success
		fault_respond a 0x5000 success vpasid=1
		fault_state r2 => state:success
		fault_state r1 => state:pending
		fault_respond a 0x6000 success !error
		fault_respond a 0x5000 invalid
		fault_state r1 => state:invalid
		fault_respond a 0x5000 success !error
		events => events:[{ioasid:$a,cookie:11,addr:0x5000,perm:r,recoverable:true,ambiguous:false},{ioasid:$a,cookie:11,addr:0x5000,perm:w},{ioasid:$a,cookie:22,addr:0x5000,perm:r}]
		events => events:[]
	`);
	flow("detach answers what waits on that route alone; close and unplug answer all", `
		${V2()}
		d = device mmu vfio-pci pasid pri
		bind d cookie=1
		a = ioasid_alloc
		attach d a
		attach d a vpasid=1
		r1 = page_request d 0x5000
		r2 = page_request d 0x5000 pasid=1
		detach d a vpasid=1
		fault_state r2 => state:invalid
		fault_state r1 => state:pending
		device_close d
		fault_state r1 => state:invalid
		e = device mmu vfio-pci pri
		bind e
		attach e a
		r3 = page_request e 0x5000
		unplug e
		fault_state r3 => state:invalid
	`);
	flow("unrecoverable misses; drivers' own faults; shared RIDs are ambiguous", `
		${V2()}
		d = device mmu vfio-pci group=g
		e = device mmu vfio-pci alias_of=d
		s = device mmu mdev-sw
		bind d cookie=1
		bind e cookie=2
		bind s cookie=3
		a = ioasid_alloc
		dma_miss d 0x1000 !error
		attach d a
		attach e a
		dma_miss e 0x1000 access=w
		fault_respond a 0x1000 success !error
		inject_fault s 0x2000 !error
		attach s a
		i = inject_fault s 0x2000
		fault_state i => state:pending
		events => events:[{ioasid:$a,cookie:2,addr:0x1000,perm:w,recoverable:false,ambiguous:true},{ioasid:$a,cookie:3,addr:0x2000,recoverable:true,ambiguous:false}]
		fault_respond a 0x2000 success
		fault_state i => state:success
	`);
	flow("events go to the file that has the IOASID, under that file's cookie", `
		${V2()}
		fd2 = open iommu
		d = device mmu vfio-pci pasid pri
		bind d cookie=1
		bind d cookie=2 fd=fd2
		a = ioasid_alloc
		b = ioasid_alloc fd=fd2
		attach d a
		attach d b vpasid=1 fd=fd2
		r = page_request d 0x1000 pasid=1
		events => events:[]
		events fd=fd2 => events:[{ioasid:$b,cookie:2,addr:0x1000}]
	`, { options: { multiFdBind: true } });
	flow("the child that is installed is named", `
		${V2()}
		d = device mmu vfio-pci pri
		bind d cookie=1
		a = ioasid_alloc
		c = ioasid_alloc parent=a
		attach d a
		attach d c
		r = page_request d 0x1000
		i = inject_fault d 0x2000
		events => events:[{ioasid:$c,addr:0x1000},{ioasid:$c,addr:0x2000}]
	`);
});

describe("containers", () => {
	flow("order of calls, extensions, and the end", `
		${V2()}
		d = device mmu vfio-pci group=g
		e = device mmu vfio-pci group=h
		c = open vfio
		vfio_set_iommu c type1 !error
		vfio_get_device_fd d !error
		vfio_ioasid c get !error
		vfio_map c 0 0x40000000 0x1000 !error
		vfio_set_container g c
		vfio_get_device_fd d !error
		device_mmap d !error
		vfio_set_iommu c spapr !error
		vfio_set_iommu c type1v2
		vfio_set_iommu c type1v2 !error
		vfio_hidden_count c 1
		vfio_get_device_fd d
		device_mmap d
		vfio_map c 0x10000 0x40000000 0x10000
		vfio_set_container h c
		xlate e 0x10008 => hva:0x40000008
		locked 16
		vfio_unmap c 0x10000 0x1000 !EINVAL
		vfio_unmap c 0x80000 0x1000 => size:0
		vfio_check_extension c type1 => value:1
		vfio_check_extension c type1v2 => value:1
		vfio_check_extension c dma_cc => value:1
		vfio_check_extension c nesting => value:0
		vfio_check_extension c update_vaddr => value:0
		vfio_check_extension c spapr => value:0
		vfio_check_extension c unknown => value:0
		vfio_dirty_pages c !error
		vfio_unset_container g !error
		device_close d
		vfio_unset_container g
		xlate d 0x10008 => host:true
		xlate e 0x10008 => hva:0x40000008
		vfio_unset_container h
		locked 0
		vfio_hidden_count c 0
		vfio_set_container g c
		vfio_set_iommu c type1
		vfio_unmap c 0x10000 0x10000 => size:0
	`, { uapi: "vfio" });
	flow("type1 cuts, and tells what went", `
		${V2()}
		d = device mmu vfio-pci group=g
		c = open vfio
		vfio_set_container g c
		vfio_set_iommu c type1
		vfio_map c 0x200000 0x40200000 0x200000
		vfio_unmap c 0x210000 0x4000 => size:0x4000
		xlate d 0x210000 => fault:unmapped
		xlate d 0x20f004 => hva:0x4020f004
		xlate d 0x214004 => hva:0x40214004
		locked 508
		vfio_unmap c 0x200000 0x200000 => size:0x1fc000
		locked 0
	`, { uapi: "vfio" });
	flow("the IOASID that map and unmap act on; the hidden one cannot be freed", `
		${V2()}
		d = device mmu vfio-pci group=g
		c = open vfio
		vfio_set_container g c
		vfio_set_iommu c type1v2
		hid = vfio_ioasid c get
		x = ioasid_alloc fd=c
		vfio_ioasid c set ioasid=x
		vfio_map c 0x1000 0x40000000 0x1000
		xlate d 0x1000 => fault:unmapped
		lookup x 0x1008 fd=c => hva:0x40000008
		vfio_ioasid c set ioasid=99 !error
		vfio_ioasid c clear
		vfio_ioasid c get !error
		vfio_map c 0x2000 0x40000000 0x1000 !error
		vfio_unmap c 0x1000 0x1000 !error
		vfio_ioasid c set ioasid=hid
		vfio_map c 0x1000 0x40001000 0x1000
		xlate d 0x1000 => hva:0x40001000
		ioasid_free hid fd=c !EBUSY
		ioasid_free x fd=c
	`, { uapi: "vfio" });
	flow("devices that snoop otherwise get a second hidden space with the same maps, charged once", `
		${V2()}
		weak = iommu vtd snoop_enforce=false
		d = device mmu vfio-pci group=g
		w = device weak vfio-pci group=h no_snoop
		m = device mmu mdev-sw group=k
		c = open vfio
		vfio_set_container g c
		vfio_set_iommu c type1v2
		vfio_map c 0x1000 0x40000000 0x2000
		vfio_set_container h c
		vfio_set_container k c
		vfio_hidden_count c 2
		xlate w 0x2000 => hva:0x40001000
		locked 2
		vfio_check_extension c dma_cc => value:0
		vfio_map c 0x8000 0x40008000 0x1000
		xlate w 0x8000 => hva:0x40008000
		xlate d 0x8000 => hva:0x40008000
		slots m => slots:[{mode:sw}],hw:0
		v = vm
		kvm_add_fd v fd=c
		wbinvd v => real:true
		vfio_unmap c 0 0x10000 => size:0x3000
		xlate w 0x8000 => fault:unmapped
		locked 0
		unplug w
		wbinvd v => real:false
	`, { uapi: "vfio" });
	flow("a container of software alone pins nothing", `
		${V2()}
		m = device mmu mdev-sw group=g
		c = open vfio
		vfio_set_container g c
		vfio_set_iommu c type1v2
		vfio_map c 0 0x40000000 0x4000
		locked 0
		p = access_pin m 0x1000 4
		locked 1
		vfio_unmap c 0 0x4000
		access_notified m => ranges:[[0x1000,4]]
		locked 0
	`, { uapi: "vfio" });
	flow("closing the container: at once, or with the last device", `
		${V2()}
		d = device mmu vfio-pci group=g
		c = open vfio
		vfio_set_container g c
		vfio_set_iommu c type1v2
		vfio_get_device_fd d
		vfio_map c 0 0x40000000 0x1000
		close c
		xlate d 4 => hva:0x40000004
		device_close d
		xlate d 4 => host:true
		device_close d !error
		c2 = open vfio
		vfio_set_container g c2
		vfio_set_iommu c2 type1
		close c2
		xlate d 4 => host:true
	`, { uapi: "vfio" });
	flow("refused: unviable, owned, contained; a refusal leaves the group as it was", `
		${V2()}
		d = device mmu vfio-pci group=g
		k = device mmu kernel group=g
		e = device mmu vfio-pci group=h
		c = open vfio
		vfio_set_container g c !EINVAL
		reason [k,g]
		bind e
		vfio_set_container h c !error
		device_close e
		vfio_set_container h c
		c2 = open vfio
		vfio_set_container h c2 !error
		vfio_unset_container g !error
		group_info d => state:default,owner:null,viable:false
	`, { uapi: "core" });
});

describe("files", () => {
	flow("a closed file takes no calls; what its devices use lives on", `
		${V2()}
		fd2 = open iommu
		d = device mmu vfio-pci
		bind d
		a = ioasid_alloc
		map a 0x40000000 0x1000 iova=0
		attach d a
		close fd
		map a 0x40001000 0x1000 iova=0x1000 !error
		xlate d 4 => hva:0x40000004
		locked 1
		bind d fd=fd2 !EBUSY
		device_close d
		locked 0
		bind d fd=fd2
	`);
	flow("one device on two files: one slot", `
		${V2()}
		fd2 = open iommu
		d = device mmu vfio-pci pasid
		bind d cookie=1
		bind d cookie=1 !EBUSY
		bind d cookie=5 fd=fd2
		a = ioasid_alloc
		b = ioasid_alloc fd=fd2
		attach d a
		attach d b fd=fd2 !EBUSY
		attach d b vpasid=1 fd=fd2
		device_get_info 5 fd=fd2 => addr_width:48
		device_get_info 5 !error
		device_close d
		xlate d 0 => host:true
	`, { options: { multiFdBind: true } });
	flow("cookies: taken ones are refused, or allowed", `
		${V2()}
		d = device mmu vfio-pci
		e = device mmu vfio-pci
		bind d cookie=1
		bind e cookie=1 !EBUSY
		bind e
		device_get_info 2 !error
	`);
	flow("one kind of IOMMU per file", `
		${V2()}
		other = iommu riscv
		d = device mmu vfio-pci
		e = device other vfio-pci
		bind d
		bind e !error
		fd2 = open iommu
		bind e fd=fd2
	`, { options: { fdHomogeneous: true } });
	flows("device info: what the IOMMU and the device can do", HARDWARE, (kind) => `
		${V2(kind, "addr_width=39 pasid_bits=12 reserved=[[0xaaaa0000,0xbbbaffff]]")}
		d = device mmu vfio-pci pasid delegated pri
		bind d cookie=7
		device_get_info 7 => ranges:[[0,0xaaa9ffff],[0xbbbb0000,0x7fffffffff]],addr_width:39,page_sizes:0x40201000,nesting:hw,snoop_enforce:true,formats:[${kind}],pasid_bits:12,pasid_table:${kind !== "vtd"},pri:true
		a = ioasid_alloc
		get_info a !error
		m = device mmu mdev-sw
		bind m
		attach m a
		get_info a !error
		attach d a
		get_info a => ranges:[[0,0xaaa9ffff],[0xbbbb0000,0x7fffffffff]],addr_width:39,nesting:hw,snoop_enforce:true
		map a 0x40000000 0x1000 iova=0xaaa9f000
		map a 0x40000000 0x2000 iova=0xbbbaf000 !EINVAL
	`);
	flow("wrappers and hinted modes are errors unless the driver chooses so", `
		${V2()}
		d = device mmu vfio-pci pasid
		q = device mmu vfio-pci pasid dmwr
		bind d
		bind q
		a = ioasid_alloc
		attach d a mode=rid_pasid !error
		attach d a wrapper=sw !error
		attach d a wrapper=pci_pasid !error
		attach d a vpasid=1 wrapper=pci_enqcmd !error
		attach d a vpasid=1 wrapper=pci_vpasid mode=rid !error
		attach d a wrapper=pci mode=rid
		attach d a vpasid=1 wrapper=pci_vpasid
		attach q a vpasid=1 wrapper=pci_enqcmd mode=rid_pasid_global
	`);
});
