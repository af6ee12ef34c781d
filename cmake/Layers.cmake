# SPDX-License-Identifier: Apache-2.0
# One static library a layer. A header of layer L is included as "L/x.h", which
# resolves only in targets that link L: each layer's include root holds itself
# alone. So a target cannot include what it may not depend on.

add_library(kmse-flags INTERFACE)
target_compile_definitions(kmse-flags INTERFACE
    _GNU_SOURCE OPENSSL_API_COMPAT=30000 OPENSSL_NO_DEPRECATED)
target_compile_options(kmse-flags INTERFACE
    -Wall -Wextra -Werror -Wpedantic -Wconversion -Wcast-qual -Wshadow
    -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wundef
    -Wwrite-strings -Wformat=2 -Wvla -fstack-protector-strong
    -fno-omit-frame-pointer
    # Error locations and debug data name files as they lie in the tree.
    -ffile-prefix-map=${PROJECT_SOURCE_DIR}/=)
target_compile_options(kmse-flags INTERFACE
    $<$<CONFIG:Release>:-D_FORTIFY_SOURCE=2>)
target_include_directories(kmse-flags INTERFACE ${PROJECT_SOURCE_DIR}/include)
if(KMSE_SANITIZE)
    target_compile_options(kmse-flags INTERFACE
        -fsanitize=${KMSE_SANITIZE} -fno-sanitize-recover=all)
    target_link_options(kmse-flags INTERFACE -fsanitize=${KMSE_SANITIZE})
endif()

# kmse_layer(NAME SOURCES a.c ... USES layer-or-library ...)
function(kmse_layer name)
    cmake_parse_arguments(LAYER "" "" "SOURCES;USES" ${ARGN})
    set(root ${PROJECT_BINARY_DIR}/layers/${name})
    file(MAKE_DIRECTORY ${root})
    file(CREATE_LINK ${CMAKE_CURRENT_SOURCE_DIR} ${root}/${name} SYMBOLIC)
    add_library(kmse-${name} STATIC ${LAYER_SOURCES})
    target_include_directories(kmse-${name} PUBLIC ${root})
    target_link_libraries(kmse-${name} PUBLIC kmse-flags ${LAYER_USES})
endfunction()
