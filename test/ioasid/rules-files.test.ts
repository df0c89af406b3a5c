/** What scenarios/ioasid.md says of files, containers and software users as they end. */
import { describe } from "vitest";
import { ALL, flow, flows, HARDWARE } from "./flow.ts";

const V2 = (kind = "vtd") => `
	mmu = iommu ${kind}
	ram = mem 0x40000000 0x40000000
	fd = open iommu
`;
const CONTAINER = (kind = "vtd") => `
	mmu = iommu ${kind}
	ram = mem 0x40000000 0x40000000
	c = open vfio
`;

describe("pins of software", () => {
	flows("go with the group that leaves its container", ALL, (kind) => `
		${CONTAINER(kind)}
		s = device mmu mdev-sw group=gs
		o = device mmu mdev-sw group=go
		vfio_set_container gs c
		vfio_set_container go c
		vfio_set_iommu c type1v2
		vfio_map c 0 0x40000000 0x10000
		p = access_pin s 0x3000 0x1000 => hva:[0x40003000]
		locked 1
		vfio_unset_container gs
		locked 0
		vfio_unmap c 0 0x10000 => size:0x10000
		access_notified s => ranges:[]
	`, { uapi: "vfio" });
	flow("and with the container, open devices or not", `
		${CONTAINER()}
		s = device mmu mdev-sw group=gs
		vfio_set_container gs c
		vfio_set_iommu c type1
		vfio_map c 0 0x40000000 0x10000
		vfio_get_device_fd s
		p = access_pin s 0 0x2000
		close c
		locked 2
		device_close s
		locked 0
	`, { uapi: "vfio" });
	flow("and with the function below", `
		${V2()}
		k = device mmu kernel
		s = device mmu mdev-sw parent=k
		bind s
		a = ioasid_alloc
		map a 0x40000000 0x4000 iova=0
		attach s a hints=no_auto_pin
		p = access_pin s 0 0x1000
		unplug k
		locked 0
		unplug k !error
	`);
	flow("have names of their own, for ever", `
		${V2()}
		s = device mmu mdev-sw
		s2 = device mmu mdev-sw
		bind s
		bind s2
		a = ioasid_alloc
		map a 0x40000000 0x4000 iova=0
		attach s a hints=no_auto_pin
		attach s2 a hints=no_auto_pin
		p = access_pin s 0 0x1000
		q = access_pin s2 0x1000 0x1000
		access_unpin s2 p !error
		detach s a
		attach s a hints=no_auto_pin
		r = access_pin s 0 0x1000
		access_unpin s p !error
		locked 2
		rlimit 2
		t = access_pin s 0x2000 0x1000 !ENOMEM
	`);
});

describe("closed files", () => {
	flow("a container takes no calls while a device of it is open", `
		${CONTAINER()}
		d = device mmu vfio-pci group=g
		e = device mmu vfio-pci group=h
		n = device mmu none group=g
		v = vm
		vfio_set_container g c
		vfio_set_iommu c type1
		h = vfio_ioasid c get
		vfio_map c 0 0x40000000 0x1000
		vfio_get_device_fd n !error
		vfio_get_device_fd d
		close c
		vfio_map c 0x1000 0x40001000 0x1000 !error
		vfio_unmap c 0 0x1000 !error
		map h 0x40000000 0x1000 iova=0x2000 fd=c !error
		x = ioasid_alloc fd=c !error
		vfio_set_container h c !error
		vfio_check_extension c type1 !error
		events fd=c !error
		kvm_add_fd v fd=c !error
		close c !error
		xlate d 8 => hva:0x40000008
		device_close d
		xlate d 8 => host:true
		locked 0
	`, { uapi: "core" });
	flow("nor does any other file", `
		${V2()}
		v = vm
		close fd
		events !error
		kvm_add_fd v !error
		x = ioasid_alloc !error
		close fd !error
	`);
	flow("calls of containers are none of other files, and groups have names", `
		${V2()}
		d = device mmu vfio-pci group=g
		vfio_set_container g fd !ENOTTY
		group_bind nobody !EINVAL
	`, { uapi: "core" });
});

describe("what one file does to another", () => {
	flow("a group_bind that fails takes back its own bindings alone", `
		${V2()}
		weak = iommu vtd snoop_enforce=false
		fd2 = open iommu
		f = device mmu vfio-pci group=g
		net = device weak vdpa group=g
		bind f cookie=1
		group_bind g fd=fd2 !error
		device_get_info 1 => pri:false
		xlate f 0 => fault:blocked
	`, { options: { multiFdBind: true } });
	flow("unbind ends the binding of its own file (v1)", `
		mmu = iommu vtd
		one = open ioasid
		two = open ioasid
		d = device mmu vfio-pci
		bind d
		bind d fd=two
		unbind d
		a = ioasid_alloc fd=two
		attach d a fd=two
		unbind d fd=two !error
	`, { uapi: "v1", options: { multiFdBind: true } });
	flow("the same attachment twice is that, whatever the quota", `
		${V2()}
		d = device mmu vfio-pci pasid
		bind d
		a = ioasid_alloc
		attach d a vpasid=1
		attach d a vpasid=1 !EINVAL
		attach d a vpasid=2 !error
	`, { options: { pasidQuota: 1 } });
});

describe("members", () => {
	flow("a host driver makes a group unviable, parts on its device or not", `
		${V2()}
		k = device mmu kernel group=g
		m = device mmu mdev-sw group=g parent=k
		f = device mmu vfio-pci group=g
		bind f !EINVAL
		bind m !EINVAL
		xlate k 0 => host:true
		group_info f => viable:false
	`);
	flow("behind another unit they move into what fits them", `
		${V2()}
		weak = iommu vtd snoop_enforce=false
		a = device mmu vfio-pci group=g
		b = device weak vfio-pci group=g
		bind a
		s = ioasid_alloc snoop=enforce
		map s 0x40000000 0x1000 iova=0
		attach a s !EINVAL
		xlate b 0 => fault:blocked
		n = ioasid_alloc snoop=no
		attach a n
		xlate b 0 => fault:unmapped
	`);
	flow("hidden PASIDs of contained parts come back", `
		mmu = iommu vtd pasid_bits=2
		k = device mmu kernel
		q1 = device mmu mdev-pasid group=g1 parent=k
		q2 = device mmu mdev-pasid group=g2 parent=k
		q3 = device mmu mdev-pasid group=g3 parent=k
		q4 = device mmu mdev-pasid group=g4 parent=k
		c = open vfio
		vfio_set_container g1 c
		vfio_set_iommu c type1
		vfio_unset_container g1
		vfio_set_container g2 c
		vfio_set_iommu c type1
		unplug q2
		vfio_unset_container g2
		vfio_set_container g3 c
		vfio_set_iommu c type1
		vfio_unset_container g3
		vfio_set_container g4 c
		vfio_set_iommu c type1
		xlate q4 0 => fault:unmapped
	`, { uapi: "vfio" });
	flows("a number that a device was never given leads nowhere", HARDWARE, (kind) => `
		${V2(kind)}
		d = device mmu vfio-pci pasid pri virt_table
		vf = device mmu stub group=g
		w = device mmu mdev-vf parent=vf
		bind d
		bind w
		a = ioasid_alloc iopf
		b = ioasid_alloc
		attach d a
		attach w b
		xlate d 0x5000 pasid=9 => fault:pasid
		r = page_request d 0x5000 pasid=9
		fault_state r => state:invalid
		dma_miss w 0x5000 pasid=9 !error
		events => events:[]
	`);
	flow("a PASID table of another unit's format is refused as a page table is", `
		${V2()}
		x = device mmu vfio-pci pasid delegated
		bind x
		g = ioasid_alloc
		t = ioasid_alloc kind=user parent=g user_pasid_table={format:smmuv3,addr:0x300000,size:16}
		attach x t !EINVAL
	`);
});
