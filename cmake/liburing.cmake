# liburing.cmake - liburing, if it is there: roma_use_liburing(target visibility) links it.
#
# The prefetch engine drives io_uring through it; without it the engine works by threads. It is
# tried with the compiler at hand, since pkg-config may speak of another machine or C library: those
# of a cross build, or musl's.

option(ROMA_USE_LIBURING "Use liburing where it is found" ON)

include(CheckCSourceCompiles)

set(ROMA_HAS_LIBURING OFF)
if(ROMA_USE_LIBURING)
    find_package(PkgConfig QUIET)
    if(PkgConfig_FOUND AND NOT CMAKE_CROSSCOMPILING)
        pkg_check_modules(LIBURING QUIET IMPORTED_TARGET GLOBAL liburing>=2.0)
    endif()
    if(LIBURING_FOUND)
        if(NOT ROMA_LIBURING_WORKS)
            unset(ROMA_LIBURING_WORKS CACHE) # it may have been installed since
        endif()
        set(CMAKE_REQUIRED_LIBRARIES PkgConfig::LIBURING)
        check_c_source_compiles("
            #include <liburing.h>
            int main(void) {
                struct io_uring_params p = {0};
                struct io_uring ring = {0};
                struct io_uring_sqe entry;
                io_uring_sqe_set_data64(&entry, 1);                    /* liburing 2.2 */
                return io_uring_queue_mmap(-1, &p, &ring) + (int)ring.sq.ring_entries +
                       (int)ring.sq.ring_mask +                        /* 2.3 */
                       (int)IORING_REGISTER_IOWQ_MAX_WORKERS;          /* 2.1 */
            }" ROMA_LIBURING_WORKS)
        unset(CMAKE_REQUIRED_LIBRARIES)
        set(ROMA_HAS_LIBURING ${ROMA_LIBURING_WORKS})
    endif()
endif()
if(NOT ROMA_HAS_LIBURING)
    message(STATUS "roma: liburing is not used, prefetch works by threads")
endif()

function(roma_use_liburing target visibility)
    if(ROMA_HAS_LIBURING)
        target_link_libraries(${target} ${visibility} PkgConfig::LIBURING)
    endif()
endfunction()
