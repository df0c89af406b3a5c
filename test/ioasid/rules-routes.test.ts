/** What scenarios/ioasid.md says of machines, devices and groups, sentence by sentence where no scenario of the set does. */
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
`;

describe("machine", () => {
	flows("depth: a dummy root does not count, a deeper path is refused, nothing changes", HARDWARE, (kind) => `
		${V2(kind)}
		d = device mmu vfio-pci
		bind d
		dummy = ioasid_alloc kind=dummy
		a = ioasid_alloc parent=dummy
		b = ioasid_alloc parent=a
		c = ioasid_alloc parent=b
		map dummy 0x40000000 0x10000 iova=0x40000000
		map a 0x40000000 0x4000 iova=0
		map b 0x1000 0x1000 iova=0x5000
		attach d c !error
		slots d => slots:[],hw:0
		attach d b
		xlate d 0x5008 => hva:0x40001008
	`);
	flow("no nesting: one level, no user tables", `
		${V2("vtd", "nesting=none")}
		d = device mmu vfio-pci
		bind d cookie=1
		device_get_info 1 => nesting:none,formats:[]
		a = ioasid_alloc
		b = ioasid_alloc parent=a
		attach d b !error
		u = ioasid_alloc kind=user parent=a user_pgtable={format:vtd,addr:0x8000}
		attach d u !error
		attach d a
		get_info a => nesting:none
	`);
	flow("software nesting tells every format, and takes a user table of any", `
		${V2("vtd", "nesting=sw")}
		d = device mmu vfio-pci
		bind d cookie=1
		device_get_info 1 => nesting:sw,formats:[vtd,smmuv3,amdvi,riscv],pasid_table:false
		gpa = ioasid_alloc
		map gpa 0x40000000 0x100000 iova=0
		t = pt_new riscv 0x40000000 0x8000 0x10000
		pt_write t 0x2000 0x1000
		u = ioasid_alloc kind=user parent=gpa user_pgtable={format:riscv,addr:0x8000}
		attach d u
		xlate d 0x2004 => hva:0x40001004
		lookup u 0x2004 => parent:0x1004,hva:0x40001004
	`);
	flow("memory of an undeclared address is no memory: maps of attached spaces fail and change nothing", `
		${V2()}
		d = device mmu vfio-pci
		bind d
		a = ioasid_alloc
		attach d a
		map a 0x90000000 0x1000 iova=0x1000 !error
		map a 0x7ffff000 0x2000 iova=0x1000 !error
		locked 0
		xlate d 0x1000 => fault:unmapped
		map a 0x40000000 0x1000 iova=0x1000
	`);
	flow("up to 2 GiB, lazily", `
		mmu = iommu vtd
		ram = mem 0x100000000 0x80000000
		fd = open iommu
		d = device mmu vfio-pci
		bind d
		a = ioasid_alloc
		attach d a
		map a 0x100000000 0x80000000 iova=0
		dma_write d 0x7ffff800 0x800 0x5a
		mem_check 0x17ffff800 0x800 0x5a
		locked 0x80000
	`);
});

describe("devices", () => {
	flows("BM2 part of a function: hidden default PASID, vPASIDs get other numbers, unique on the RID", HARDWARE, (kind) => `
		${V2(kind)}
		p = device mmu kernel
		m = device mmu mdev-pasid parent=p pasid
		n = device mmu mdev-pasid parent=p pasid
		bind m
		bind n
		a = ioasid_alloc
		map a 0x40000000 0x10000 iova=0
		xlate m 0 => fault:blocked
		attach m a
		attach m a vpasid=5
		attach n a vpasid=5
		pd = ppasid m
		p5 = ppasid m vpasid=5
		q5 = ppasid n vpasid=5
		assert_num p5 ne=5
		assert_num p5 ne=pd
		assert_num p5 ne=q5
		xlate m 0x10 => hva:0x40000010
		xlate m 0x10 raw_pasid=q5 => hva:0x40000010
		xlate n 0x10 => fault:blocked
		xlate n 0x10 pasid=5 => hva:0x40000010
		xlate m 0x10 pasid=6 => fault:pasid
		xlate p 0x10 => host:true
		slots m => slots:[{mode:rid_pasid,vpasid:null,ioasid:$a},{mode:rid_pasid,vpasid:5,ioasid:$a}],hw:3
		slot_history m => default_seen:false
		slot_history p => default_seen:true
	`);
	flow("a global PASID is kept free of other uses on all RIDs", `
		${V2()}
		p = device mmu kernel
		m = device mmu mdev-pasid parent=p pasid dmwr
		f = device mmu vfio-pci pasid
		bind m
		bind f
		a = ioasid_alloc
		b = ioasid_alloc
		attach m a vpasid=1
		g = ppasid m vpasid=1
		attach f b vpasid=g !error
		slots f => slots:[],hw:0
		detach m a vpasid=1
		attach f b vpasid=g
		attach m a vpasid=1
		h = ppasid m vpasid=1
		assert_num h ne=g
	`);
	flow("a software device makes no DMA and puts nothing into the IOMMU, whatever its parent does", `
		${V2()}
		p = device mmu kernel
		m = device mmu mdev-sw parent=p
		bind m
		a = ioasid_alloc
		map a 0x40000000 0x1000 iova=0
		attach m a vpasid=1 !error
		attach m a wrapper=sw
		xlate m 0 => fault:blocked
		xlate p 0 => host:true
		slots m => slots:[{mode:sw,vpasid:null,ioasid:$a}],hw:0
		slot_history m => default_seen:false
		locked 1
	`);
	flow("a wrapped VF uses the RID slot of its parent, in the parent's group", `
		${V2()}
		vf = device mmu kernel group=g
		w = device mmu mdev-vf parent=vf
		xlate vf 0 => host:true
		xlate w 0 => fault:blocked
		bind w
		group_info w => members:[vf,w],state:blocked,owner:$fd,shared_ioas:false
		xlate vf 0 => fault:blocked
		a = ioasid_alloc
		map a 0x40000000 0x1000 iova=0
		attach w a vpasid=1 !error
		attach w a
		xlate w 8 => hva:0x40000008
		xlate vf 8 => hva:0x40000008
		slots w => slots:[{mode:rid,vpasid:null,ioasid:$a}],hw:1
		device_close w
		xlate vf 0 => host:true
	`);
	flow("numbers on the bus of a device with a table of its own are others", `
		${V2()}
		f = device mmu vfio-pci pasid virt_table
		bind f
		a = ioasid_alloc
		map a 0x40000000 0x1000 iova=0
		attach f a vpasid=7
		p = ppasid f vpasid=7
		assert_num p ne=7
		xlate f 4 pasid=7 => hva:0x40000004
		xlate f 4 raw_pasid=p => hva:0x40000004
		xlate f 4 raw_pasid=7 => fault:pasid
	`);
	flow("a vPASID needs PASIDs, and to fit the IOMMU", `
		${V2("vtd", "pasid_bits=8")}
		f = device mmu vfio-pci pasid
		g = device mmu vfio-pci
		bind f cookie=1
		bind g cookie=2
		device_get_info 1 => pasid_bits:8
		device_get_info 2 => pasid_bits:0
		a = ioasid_alloc
		attach g a vpasid=1 !error
		attach f a vpasid=256 !error
		attach f a vpasid=255
		attach f a vpasid=255 !EINVAL
		b = ioasid_alloc
		attach f b vpasid=255 !error
		attach f b vpasid=254
	`);
	flow("a PASID slot holds no child over its parent; a RID slot does", `
		${V2()}
		f = device mmu vfio-pci pasid
		bind f
		a = ioasid_alloc
		b = ioasid_alloc parent=a
		attach f a vpasid=1
		attach f b vpasid=1 !error
		attach f a
		attach f b
		slots f => slots:[{mode:rid,vpasid:null,ioasid:$a},{mode:rid,vpasid:null,ioasid:$b},{mode:rid_pasid,vpasid:1,ioasid:$a}],hw:2
		detach f a !error
		detach f b
		detach f a
	`);
	flow("detach of the child falls back to the parent", `
		${V2()}
		f = device mmu vfio-pci
		bind f
		a = ioasid_alloc
		map a 0x40000000 0x10000 iova=0
		b = ioasid_alloc parent=a
		map b 0x3000 0x1000 iova=0x8000
		attach f a
		attach f b
		xlate f 0x8000 => hva:0x40003000
		xlate f 0x3000 => fault:unmapped
		detach f b
		xlate f 0x8000 => hva:0x40008000
		detach f b !error
	`);
	flow("a function is not assignable while parts sit on it, a part not while its parent is assigned; containers too", `
		${V2()}
		p = device mmu vfio-pci group=g
		m = device mmu mdev-pasid parent=p pasid
		c = open vfio
		bind p !error
		vfio_set_container g c !error
		group_info p => state:default,owner:null
		bind m
		unplug m
		vfio_set_container g c
		n = device mmu mdev-sw parent=p
		bind n !error
		vfio_unset_container g
		bind n
	`);
	flow("firmware ranges: not assignable at any door, and the group keeps its identity", `
		${V2()}
		d = device mmu vfio-pci rmrr group=g
		c = open vfio
		bind d !EPERM
		vfio_set_container g c !error
		xlate d 0 => host:true
	`);
	flow("a control queue has a PASID that the driver chooses", `
		${V2()}
		d = device mmu vdpa pasid
		bind d
		a = ioasid_alloc
		b = ioasid_alloc
		map a 0x40000000 0x1000 iova=0
		map b 0x40001000 0x1000 iova=0
		attach d a
		attach d b queue=cvq
		xlate d 0 => hva:0x40000000
		xlate d 0 queue=cvq => hva:0x40001000
		slots d => hw:2
		detach d b queue=cvq
		xlate d 0 queue=cvq => fault:pasid
	`);

	flows("a user's number names one space, whatever number its requests carry", HARDWARE, (kind) => `
		mmu = iommu ${kind}
		ram = mem 0x40000000 0x4000000
		fd = open iommu
		h = device mmu kernel
		m = device mmu mdev-pasid parent=h pasid
		e = device mmu mdev-pasid parent=h pasid dmwr
		f = device mmu vfio-pci pasid
		bind m cookie=1
		bind e cookie=2
		bind f cookie=3
		a = ioasid_alloc
		b = ioasid_alloc
		c = ioasid_alloc parent=a
		attach m a vpasid=2
		attach m b vpasid=2 !EBUSY
		attach m c vpasid=2 !EBUSY
		attach m a vpasid=2 !EINVAL
		attach e a vpasid=2
		attach e b vpasid=2 !EBUSY
		attach f a vpasid=2
		attach f b vpasid=2 !EBUSY
		detach m a vpasid=2
		attach m b vpasid=2
	`);

	flows("a guest's PASID table that its parent loses leads nowhere, and is found again where it is mapped next", ["smmuv3", "amdvi", "riscv"], (kind) => `
		mmu = iommu ${kind}
		ram = mem 0x40000000 0x4000000
		fd = open iommu
		d = device mmu vfio-pci pasid delegated
		bind d cookie=1
		gpa = ioasid_alloc
		map gpa 0x40000000 0x100000 iova=0
		map gpa 0x40100000 0x1000 iova=0x100000
		map gpa 0x40200000 0x100000 iova=0x200000
		t = pt_new ${kind} 0x40000000 0x10000 0x20000
		pt_write t 0x7000 0x8000
		p = pasid_table_new ${kind} 0x40000000 0x100000 16
		pasid_table_write p 3 t
		q = ioasid_alloc kind=user parent=gpa user_pasid_table={format:${kind},addr:0x100000,size:16}
		attach d q
		xlate d 0x7008 pasid=3 => hva:0x40008008
		unmap gpa 0x100000 0x1000
		xlate d 0x7008 pasid=3 => fault:any
		xlate d 0x8008 => hva:0x40008008
		map gpa 0x40300000 0x1000 iova=0x100000
		xlate d 0x7008 pasid=3 => fault:any
		r = pasid_table_new ${kind} 0x40200000 0x100000 16
		pasid_table_write r 3 t
		invalidate q cache=pasid
		xlate d 0x7008 pasid=3 => hva:0x40008008
	`);

});

describe("groups", () => {
	flow("a group that is not viable names its host driver; pci-stub, bridges and driverless members are fine", `
		${V2()}
		a = device mmu vfio-pci group=ten
		b = device mmu kernel group=ten
		c = device mmu pci-stub group=ten
		d = device mmu bridge group=ten
		e = device mmu none group=ten
		bind a !EINVAL
		reason [b,ten]
		group_info a => viable:false,state:default,shared_ioas:true,members:[a,b,c,d,e]
		probe b vfio-pci
		bind a
		group_info a => viable:true,state:blocked
		probe e kernel !error
		probe e pci-stub
		xlate e 0 => fault:blocked
		x = ioasid_alloc
		map x 0x40000000 0x1000 iova=0
		attach a x
		xlate e 8 => hva:0x40000008
		group_info a => state:user
		detach a x
		group_info a => state:blocked
		xlate e 8 => fault:blocked
		slot_history e => default_seen:false
		device_close a
		xlate e 8 => host:true
	`);
	flow("unplugging a member of a container leaves the others where they are", `
		${V2()}
		a = device mmu vfio-pci group=g
		b = device mmu vfio-pci group=g
		c = open vfio
		vfio_set_container g c
		vfio_set_iommu c type1v2
		vfio_get_device_fd a
		vfio_get_device_fd b
		vfio_map c 0x1000 0x40000000 0x1000
		unplug b
		xlate a 0x1000 => hva:0x40000000
		group_info a => owner:$c,members:[a]
		device_close a
		close c
		xlate a 0x1000 => host:true
		locked 0
	`);
	flow("detach `each`: every RID its own slot, one IOASID for all", `
		${V2()}
		a = device mmu vfio-pci group=g
		b = device mmu vfio-pci group=g
		bind a
		bind b
		x = ioasid_alloc
		y = ioasid_alloc
		map x 0x40000000 0x1000 iova=0
		attach a x
		xlate b 0 => fault:blocked
		attach b y !EBUSY
		attach b x
		detach a x
		xlate a 0 => fault:blocked
		xlate b 0 => hva:0x40000000
	`, { options: { groupDetach: "each" } });
	flow("aliases share RID and PASID slots", `
		${V2()}
		a = device mmu vfio-pci group=g pasid
		b = device mmu vfio-pci alias_of=a pasid
		bind a
		bind b
		x = ioasid_alloc
		map x 0x40000000 0x1000 iova=0
		attach a x vpasid=3
		attach b x vpasid=3 !error
		xlate b 4 pasid=3 => hva:0x40000004
		slots b => slots:[],hw:1
		attach b x
		xlate a 4 => hva:0x40000004
		group_info a => shared_ioas:true
	`);
	flow("partial: nothing but attach and detach until the siblings are attached (v1)", `
		${V1}
		a = device mmu vfio-pci group=g
		b = device mmu vfio-pci group=g
		bind a
		bind b
		x = ioasid_alloc
		attach a x
		map x 0x40000000 0x1000 iova=0 !EDEADLK
		ioasid_free x !EDEADLK
		get_info x !EDEADLK
		n = create_nesting x !EDEADLK
		detach a x
		attach a x
		attach b x
		map x 0x40000000 0x1000 iova=0
		detach b x
		unmap x 0 0x1000 !EDEADLK
		attach b x
		unmap x 0 0x1000 => size:0x1000
	`, { uapi: "v1" });
	flow("partial does not gate attachments by PASID (v1)", `
		${V1}
		a = device mmu vfio-pci group=g pasid
		b = device mmu vfio-pci group=g
		bind a
		x = ioasid_alloc
		attach a x vpasid=1
		map x 0x40000000 0x1000 iova=0
		xlate a 0 pasid=1 => hva:0x40000000
	`, { uapi: "v1" });
	flow("explicit: single binds are refused, the group is bound in one call", `
		${V2()}
		a = device mmu vfio-pci group=g
		b = device mmu vfio-pci group=g
		s = device mmu pci-stub group=g
		bind a !error
		group_bind g
		group_bind g !EBUSY
		x = ioasid_alloc
		attach b x
		attach s x !error
	`, { options: { groupPolicy: "explicit" } });
	flow("group_bind of an unviable group binds nothing", `
		${V2()}
		a = device mmu vfio-pci group=g
		b = device mmu kernel group=g
		group_bind g !EINVAL
		xlate a 0 => host:true
		device_mmap a !EACCES
	`);
	flow("implicit-flag: siblings join, or the caller says that they follow", `
		${V2()}
		a = device mmu vfio-pci group=g
		b = device mmu none group=g
		bind a
		x = ioasid_alloc
		attach a x !EPERM
		reason [b]
		attach a x implicit_group
		xlate b 0 => fault:unmapped
	`, { options: { groupPolicy: "implicit-flag" } });
	flow("one group, one mode (mixedModes false)", `
		${V2()}
		a = device mmu vfio-pci group=g pasid
		b = device mmu vfio-pci group=g pasid
		bind a
		bind b
		x = ioasid_alloc
		attach a x
		attach b x vpasid=1 !error
		attach b x
	`, { options: { mixedModes: false } });
	flow("PASIDs want a group of one (pasidNeedsSingleton), control queues too", `
		${V2()}
		a = device mmu vdpa group=g pasid
		b = device mmu vfio-pci group=g
		c = device mmu vfio-pci pasid
		bind a
		bind c
		x = ioasid_alloc
		attach a x vpasid=1 !error
		attach a x queue=cvq !error
		attach a x
		attach c x vpasid=1
	`, { options: { pasidNeedsSingleton: true } });
	flow("staged: groups of several functions are not bound", `
		${V2()}
		a = device mmu vfio-pci group=g
		b = device mmu pci-stub group=g
		vf = device mmu kernel group=h
		w = device mmu mdev-vf parent=vf
		check_extension multidev_group => value:0
		bind a !error
		bind w
	`, { options: { multiDeviceGroups: false } });
	flow("a container has the group: ENOTTY at the other doors, EBUSY the other way round", `
		${V2()}
		a = device mmu vfio-pci group=g
		b = device mmu vfio-pci group=h
		c = open vfio
		vfio_set_container g c
		bind a !ENOTTY
		bind b fd=c !error
		bind b
		vfio_set_container h c !error
		vfio_set_container g c !error
	`);
	flows("default domain never shows between bind and close", ALL, (kind) => `
		${V2(kind)}
		a = device mmu vfio-pci group=g
		b = device mmu vfio-pci group=g
		slot_history a => default_seen:true
		bind a
		x = ioasid_alloc
		y = ioasid_alloc
		attach a x
		detach a x
		attach a y
		slot_history a => default_seen:false
		slot_history b => default_seen:false
		device_close a
		slot_history b => default_seen:true
	`);
});
