// Conversations in the browser's own database. Where it is refused (private windows), they live in
// memory until the page is closed.
import type { Conversation } from '../chat/tree';

const kName = 'hadal';
const kStore = 'conversations';

function promised<T>(request: IDBRequest<T>): Promise<T> {
    return new Promise((resolve, reject) => {
        request.onsuccess = () => resolve(request.result);
        request.onerror = () => reject(request.error);
    });
}

export class Store {
    private readonly memory = new Map<string, Conversation>();

    private constructor(private readonly database: IDBDatabase | null) {}

    static async open(): Promise<Store> {
        try {
            const request = indexedDB.open(kName, 1);
            request.onupgradeneeded = () => request.result.createObjectStore(kStore, { keyPath: 'id' });
            return new Store(await promised(request));
        } catch {
            return new Store(null);
        }
    }

    get lasting(): boolean {
        return this.database !== null;
    }

    private objects(mode: IDBTransactionMode): IDBObjectStore | undefined {
        return this.database?.transaction(kStore, mode).objectStore(kStore);
    }

    /** The one that was used last comes first. */
    async all(): Promise<Conversation[]> {
        const objects = this.objects('readonly');
        const list = objects ? ((await promised(objects.getAll())) as Conversation[]) : [...this.memory.values()];
        return list.sort((a, b) => b.updated - a.updated);
    }

    async put(conversation: Conversation): Promise<void> {
        const objects = this.objects('readwrite');
        if (objects) await promised(objects.put(conversation));
        else this.memory.set(conversation.id, conversation);
    }

    async remove(id: string): Promise<void> {
        const objects = this.objects('readwrite');
        if (objects) await promised(objects.delete(id));
        else this.memory.delete(id);
    }
}
