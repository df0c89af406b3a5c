/** Members (devices) that the platform cannot tell apart or keep apart. A group owns no attachment: members have their own. */
export class Group<Member = unknown> {
	readonly members: Member[] = [];

	constructor(readonly id: number) {}
}
