/* dispatch.h - what the floors above need of a registered provider beyond the public calls. */
#ifndef ROMA_PROVIDER_DISPATCH_H
#define ROMA_PROVIDER_DISPATCH_H

#include <roma/provider.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A manager or a wrapper keeps using this provider: unregistering it is -EBUSY meanwhile. */
void roma__provider_hold(roma_provider *provider);
void roma__provider_drop(roma_provider *provider);

/* Live extents, as the dispatch counts them: acquired or imported and not released. */
uint64_t roma__provider_extents(const roma_provider *provider);

#ifdef __cplusplus
}
#endif
#endif
