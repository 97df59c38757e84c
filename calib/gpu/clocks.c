/* SPDX-License-Identifier: Apache-2.0 */
#include "calib/gpu/clocks.h"

#include <dlfcn.h>
#include <stdbool.h>
#include <string.h>

/* What is used of NVML (its documentation, "Device Queries"): 0 is success, clock 1 is that of the SMs, 2 of memory. */
enum { NVML_CLOCK_SM = 1, NVML_CLOCK_MEMORY = 2 };
typedef struct nvml_device *nvml_device;

/* Bits of "clocks event reasons"; bit 0, idle, is what a device is a moment after its work. */
static const char *const reasons[] = {NULL, "clocks-set", "power", "slowdown", "sync-boost", "heat", "heat-hw",
                                      "power-brake", "display"};
enum { REASONS = sizeof reasons / sizeof *reasons };

struct kv_gpu_clocks {
    struct kv_arena arena;
    void *library;
    nvml_device device;
    int (*shutdown)(void);
    int (*clock)(nvml_device, int, unsigned *);
    int (*most)(nvml_device, int, unsigned *);
    int (*reasons)(nvml_device, unsigned long long *);
    const char *text[1 << REASONS];      /* for each set of reasons, when it was first met */
    char driver[96];
};

/* ISO C does not let a pointer to an object become one to a function; POSIX does. */
static bool find(struct kv_gpu_clocks *c, const char *name, void *function)
{
    void *found = dlsym(c->library, name);
    memcpy(function, &found, sizeof found);
    return found != NULL;
}

static bool begin(struct kv_gpu_clocks *c, const char *bus)
{
    int (*init)(void), (*by_bus)(const char *, nvml_device *), (*version)(char *, unsigned);
    c->library = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!c->library || !find(c, "nvmlInit_v2", &init) || !find(c, "nvmlShutdown", &c->shutdown)
        || !find(c, "nvmlDeviceGetHandleByPciBusId_v2", &by_bus) || !find(c, "nvmlDeviceGetClockInfo", &c->clock)
        || !find(c, "nvmlDeviceGetMaxClockInfo", &c->most)
        || !find(c, "nvmlDeviceGetCurrentClocksThrottleReasons", &c->reasons)) return false;
    if (init() != 0) {
        c->shutdown = NULL;
        return false;
    }
    if (find(c, "nvmlSystemGetDriverVersion", &version) && version(c->driver, sizeof c->driver) != 0) *c->driver = 0;
    return by_bus(bus, &c->device) == 0;
}

struct kv_gpu_clocks *kv_gpu_clocks_open(const char *bus)
{
    struct kv_gpu_clocks *c = kv_mem_take(sizeof *c);
    if (!begin(c, bus)) c->device = NULL;
    return c;
}

void kv_gpu_clocks_close(struct kv_gpu_clocks *c)
{
    if (!c) return;
    if (c->library && c->shutdown) (void)c->shutdown();
    if (c->library) dlclose(c->library);
    kv_arena_close(&c->arena);
    kv_mem_give(c, sizeof *c);
}

int32_t kv_gpu_clocks_sm_MHz(struct kv_gpu_clocks *c)
{
    unsigned MHz = 0;
    return c->device && c->clock(c->device, NVML_CLOCK_SM, &MHz) == 0 ? (int32_t)MHz : 0;
}

const char *kv_gpu_clocks_throttle(struct kv_gpu_clocks *c)
{
    unsigned long long bits = 0;
    if (!c->device || c->reasons(c->device, &bits) != 0) return "unknown";
    size_t set = (size_t)bits & ((1u << REASONS) - 2);
    if (c->text[set]) return c->text[set];
    const char *text = "";
    for (int i = 1; i < REASONS; i++)
        if (set >> i & 1) text = kv_arena_text(&c->arena, "%s%s%s", text, *text ? "+" : "", reasons[i]);
    return c->text[set] = *text ? text : "none";
}

const char *kv_gpu_clocks_driver(const struct kv_gpu_clocks *c)
{
    return c->driver;
}

const char *kv_gpu_clocks_text(struct kv_arena *arena, struct kv_gpu_clocks *c)
{
    unsigned sm = 0, memory = 0;
    if (!c->library) return "not known (libnvidia-ml.so.1 is not here)";
    if (!c->device || c->most(c->device, NVML_CLOCK_SM, &sm) != 0
        || c->clock(c->device, NVML_CLOCK_MEMORY, &memory) != 0) return "not known (NVML does not tell)";
    return kv_arena_text(arena, "at most %u MHz, memory %u MHz", sm, memory);
}
