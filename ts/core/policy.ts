/**
 * Where the people who designed /dev/ioasid disagreed, both answers can be had. One object for each open file; what it
 * leaves out keeps the default of its door. D numbers are the labels of those disagreements in the survey of the threads.
 */
export interface Policy {
	/**
	 * What the other members of a group mean for one of them (D2). `partial`: an IOASID in a member's RID slot refuses all but
	 * attach and detach until every assigned member has an attachment. `implicit`: members follow. `explicit`: only the
	 * whole group is bound. `implicit-flag`: attach wants all siblings bound, or the caller's word that they follow.
	 */
	groupPolicy: "partial" | "implicit" | "explicit" | "implicit-flag";
	/** `last`: members share one RID slot, emptied by the last detach; `each`: every RID its own slot, same IOASID */
	groupDetach: "last" | "each";
	/** every RID of a group its own slot and its own IOASID (D3) */
	subGroups: boolean;
	/** members of one group may be attached in different modes (D3) */
	mixedModes: boolean;
	/** attach by PASID wants a group of one */
	pasidNeedsSingleton: boolean;
	/** devices of groups with several members may be bound */
	multiDeviceGroups: boolean;
	/** one device may be bound to several files (D7) */
	multiFdBind: boolean;
	/** a file takes devices of one kind of IOMMU (D6) */
	fdHomogeneous: boolean;
	/** maps are taken before any device is attached (D22) */
	mapBeforeAttach: boolean;
	/** a device attaches to the parent before the child (D5) */
	parentFirst: boolean;
	/** maps only after `enable`, attaches only before (D25) */
	explicitEnable: boolean;
	/** a parent that changes under a kernel-merged child: the child follows, or the change is refused */
	swParentChange: "follow" | "busy";
	/** a child maps addresses that its parent lacks: `lazy` faults at the DMA, `eager` refuses the map */
	swChildMap: "lazy" | "eager";
	/** under a PASID table, attaches by PASID are notes (D12) */
	pasidTableTracking: boolean;
	/** two devices with one cookie (D14) */
	dupCookie: "refuse" | "allow";
	/** attach tells the physical PASID (D16) */
	exposePasid: boolean;
	/** a function that is attached by vPASID and does ENQCMD answers to the global PASID too (D18) */
	pasidAlias: boolean;
	/** a VM with PASID translation holds not both an ENQCMD function and an ENQCMD mdev (D18) */
	mixGuard: boolean;
	/** a later mdev of one parent on the same file shows no PASID (D30) */
	hideSecond: boolean;
	/** detach while KVM translates to it: the entry dies, or the detach is refused */
	kvmFree: "invalidate" | "busy";
	/** attaches by vPASID that a file may hold; 0 = any number */
	pasidQuota: number;
	/** which devices make wbinvd real (D20): those that may no-snoop, or any on a non-enforcing IOASID */
	wbinvdRule: "v2" | "legacy";
	/** the right to wbinvd ends with the device that gave it (D20) */
	wbinvdRevoke: boolean;
	/** IOASIDs that do not enforce snooping exist (D19) */
	noSnoopExt: boolean;
	/** windowed IOASIDs with disjoint windows share a RID (D24) */
	addressRouted: boolean;
	/** dirty tracking is offered */
	dirtyTracking: boolean;
	/** tracking splits large leaves, so that pages dirty one by one */
	dirtySplit: boolean;
}

/** The July 2021 text (/dev/iommu). */
export const DEFAULT_POLICY: Readonly<Policy> = {
	groupPolicy: "implicit",
	groupDetach: "last",
	subGroups: false,
	mixedModes: true,
	pasidNeedsSingleton: false,
	multiDeviceGroups: true,
	multiFdBind: false,
	fdHomogeneous: false,
	mapBeforeAttach: true,
	parentFirst: false,
	explicitEnable: false,
	swParentChange: "follow",
	swChildMap: "lazy",
	pasidTableTracking: false,
	dupCookie: "refuse",
	exposePasid: false,
	pasidAlias: false,
	mixGuard: false,
	hideSecond: false,
	kvmFree: "invalidate",
	pasidQuota: 0,
	wbinvdRule: "v2",
	wbinvdRevoke: true,
	noSnoopExt: true,
	addressRouted: false,
	dirtyTracking: false,
	dirtySplit: true,
};

/** The May 2021 text (/dev/ioasid). */
export const V1_POLICY: Readonly<Policy> = { ...DEFAULT_POLICY, groupPolicy: "partial", mapBeforeAttach: false, parentFirst: true, pasidTableTracking: true };
