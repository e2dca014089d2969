//! The table of languages: how a file is recognised, which grammar reads it, which nodes are items.
//!
//! A new language is one entry of `LANGUAGES` and its rules.

use super::rule::{Rule, Scope, named, with};
use super::{DATA_BYTES_MAX, PARSE_BYTES_MAX, PIECE_BYTES_MAX, native, read, script};

/// One language: how it is recognised and which grammar reads it.
#[derive(Debug)]
pub struct Language {
    pub name: &'static str,
    /// Extensions without the dot, in lower case.
    pub extensions: &'static [&'static str],
    /// Exact names of files that say it without an extension.
    pub file_names: &'static [&'static str],
    pub(super) grammar: fn() -> tree_sitter::Language,
    pub(super) rules: &'static [&'static [Rule]],
    /// Nodes around one declaration that belong to it: `export`, `template`, a statement.
    pub(super) wrappers: &'static [&'static str],
    /// Nodes before or in a declaration that are no part of its signature.
    pub(super) attributes: &'static [&'static str],
    /// Nodes whose inside is local, as is that of functions.
    pub(super) locals: &'static [&'static str],
    /// Nodes that hold no items.
    pub(super) leaves: &'static [&'static str],
    /// Calls of macros, whose inside may hold items and is parsed again.
    pub(super) calls: &'static [&'static str],
    /// How deep into the tree items are looked for.
    pub(super) levels_max: usize,
    pub(super) bytes_max: usize,
    /// Longer texts are parsed piece by piece, unless a part of one means nothing alone.
    pub(super) piece_bytes_max: usize,
    /// Whether code stands between tags in a text of HTML (`code/php.rs`).
    pub(super) is_tagged: bool,
    /// How many `<` may stand open in one statement; more are refused unparsed.
    pub(super) angles_max: usize,
    /// How deep blocks may nest by indentation; more are refused unparsed.
    pub(super) indents_max: usize,
}

/// What the entries below do not say.
const PLAIN: Language = Language {
    name: "",
    extensions: &[],
    file_names: &[],
    grammar: || tree_sitter_json::LANGUAGE.into(),
    rules: &[],
    wrappers: &[],
    attributes: &[],
    locals: &[],
    leaves: &[],
    calls: &[],
    levels_max: usize::MAX,
    bytes_max: PARSE_BYTES_MAX,
    piece_bytes_max: PIECE_BYTES_MAX,
    is_tagged: false,
    angles_max: usize::MAX,
    indents_max: usize::MAX,
};

/// Every language, in the order in which paths are tried.
pub const LANGUAGES: &[Language] = &[
    Language {
        name: "rust",
        extensions: &["rs"],
        grammar: || tree_sitter_rust::LANGUAGE.into(),
        rules: &[RUST],
        attributes: &["attribute_item"],
        locals: &["closure_expression"],
        leaves: &["token_tree", "string_literal", "use_declaration", "attribute_item"],
        calls: &["macro_invocation"],
        ..PLAIN
    },
    Language {
        name: "python",
        extensions: &["py", "pyi", "pyw"],
        file_names: &["SConstruct", "wscript"],
        grammar: || tree_sitter_python::LANGUAGE.into(),
        rules: &[PYTHON],
        wrappers: &["decorated_definition", "expression_statement"],
        attributes: &["decorator"],
        leaves: &["string", "decorator"],
        // The scanner saves its state in 1,024 bytes, two for each level and one for each quote.
        indents_max: 300,
        ..PLAIN
    },
    Language {
        name: "typescript",
        extensions: &["ts", "mts", "cts"],
        grammar: || tree_sitter_typescript::LANGUAGE_TYPESCRIPT.into(),
        rules: &[TYPESCRIPT, JAVASCRIPT],
        ..SCRIPT
    },
    Language {
        name: "tsx",
        extensions: &["tsx"],
        grammar: || tree_sitter_typescript::LANGUAGE_TSX.into(),
        rules: &[TYPESCRIPT, JAVASCRIPT],
        ..SCRIPT
    },
    Language {
        name: "javascript",
        extensions: &["js", "mjs", "cjs", "jsx"],
        grammar: || tree_sitter_javascript::LANGUAGE.into(),
        rules: &[JAVASCRIPT],
        ..SCRIPT
    },
    Language {
        name: "go",
        extensions: &["go"],
        grammar: || tree_sitter_go::LANGUAGE.into(),
        rules: &[GO],
        wrappers: &["const_declaration", "var_declaration", "var_spec_list", "type_declaration"],
        locals: &["func_literal", "block"],
        leaves: &["import_declaration"],
        ..PLAIN
    },
    Language {
        name: "java",
        extensions: &["java"],
        grammar: || tree_sitter_java::LANGUAGE.into(),
        rules: &[JAVA],
        wrappers: &["field_declaration", "constant_declaration"],
        attributes: &["marker_annotation", "annotation"],
        locals: &["block", "constructor_body", "lambda_expression"],
        leaves: &["marker_annotation", "annotation", "import_declaration"],
        ..PLAIN
    },
    Language {
        name: "c",
        extensions: &["c", "h"],
        grammar: || tree_sitter_c::LANGUAGE.into(),
        rules: &[C],
        wrappers: &["declaration"],
        locals: &["compound_statement", "parameter_list"],
        leaves: &["preproc_include", "initializer_list"],
        ..PLAIN
    },
    Language {
        name: "cpp",
        extensions: &["cpp", "cc", "cxx", "c++", "hpp", "hh", "hxx", "h++", "ipp", "inl", "tpp"],
        grammar: || tree_sitter_cpp::LANGUAGE.into(),
        rules: &[CPP, C],
        wrappers: &[
            "template_declaration",
            "declaration",
            "field_declaration",
            "friend_declaration",
        ],
        attributes: &["attribute_declaration"],
        locals: &["compound_statement", "lambda_expression", "parameter_list"],
        leaves: &["preproc_include", "template_parameter_list", "using_declaration"],
        ..PLAIN
    },
    Language {
        name: "csharp",
        extensions: &["cs", "csx"],
        grammar: || tree_sitter_c_sharp::LANGUAGE.into(),
        rules: &[CSHARP],
        wrappers: &[
            "field_declaration",
            "event_field_declaration",
            "variable_declaration",
            "global_statement",
        ],
        attributes: &["attribute_list"],
        locals: &[
            "block",
            "arrow_expression_clause",
            "lambda_expression",
            "anonymous_method_expression",
            "accessor_list",
        ],
        leaves: &["attribute_list", "using_directive"],
        // Each `<` may be a comparison or a type's arguments: `a<a<a...` costs memory in the
        // square of their number (4,000 of them 1.2 GB, 250 of them 7 MB).
        angles_max: 250,
        ..PLAIN
    },
    Language {
        name: "ruby",
        extensions: &["rb", "rake", "gemspec", "ru"],
        file_names: &["Gemfile", "Rakefile", "Guardfile", "Podfile", "Vagrantfile", "Fastfile"],
        grammar: || tree_sitter_ruby::LANGUAGE.into(),
        rules: &[RUBY],
        leaves: &["string_content", "simple_symbol"],
        ..PLAIN
    },
    Language {
        name: "php",
        extensions: &["php", "phtml"],
        grammar: || tree_sitter_php::LANGUAGE_PHP.into(),
        rules: &[PHP],
        wrappers: &["const_declaration", "property_declaration"],
        attributes: &["attribute_list"],
        leaves: &["attribute_list", "namespace_use_declaration", "text"],
        is_tagged: true,
        ..PLAIN
    },
    Language {
        name: "swift",
        extensions: &["swift"],
        grammar: || tree_sitter_swift::LANGUAGE.into(),
        rules: &[SWIFT],
        attributes: &["attribute"],
        locals: &["function_body", "lambda_literal", "computed_property"],
        leaves: &["import_declaration", "attribute"],
        ..PLAIN
    },
    Language {
        name: "kotlin",
        extensions: &["kt", "kts"],
        grammar: || tree_sitter_kotlin_ng::LANGUAGE.into(),
        rules: &[KOTLIN],
        attributes: &["annotation"],
        locals: &[
            "block",
            "lambda_literal",
            "anonymous_function",
            "anonymous_initializer",
            "getter",
            "setter",
        ],
        leaves: &["annotation", "import"],
        // Thousands of them overflow the stack when tree-sitter frees its parse stack.
        angles_max: 250,
        ..PLAIN
    },
    Language {
        name: "shell",
        extensions: &["sh", "bash", "zsh", "ksh", "bats"],
        file_names: &[
            ".bashrc",
            ".bash_profile",
            ".bash_aliases",
            ".bash_logout",
            ".profile",
            ".zshrc",
            ".zshenv",
            ".zprofile",
            "PKGBUILD",
            "APKBUILD",
        ],
        grammar: || tree_sitter_bash::LANGUAGE.into(),
        rules: &[&[named("function_definition", "function")]],
        leaves: &["heredoc_body", "string", "raw_string"],
        ..PLAIN
    },
    Language {
        name: "sql",
        extensions: &["sql"],
        grammar: || tree_sitter_sequel::LANGUAGE.into(),
        rules: &[SQL],
        wrappers: &["statement"],
        // Functions hold statements, but none that create.
        levels_max: 3,
        ..PLAIN
    },
    Language {
        name: "html",
        extensions: &["html", "htm", "xhtml"],
        grammar: || tree_sitter_html::LANGUAGE.into(),
        rules: &[&[with("element", Scope::Any, read::html_element)]],
        leaves: &["start_tag", "end_tag", "script_element", "style_element"],
        ..PLAIN
    },
    Language {
        name: "css",
        extensions: &["css", "scss", "less"],
        grammar: || tree_sitter_css::LANGUAGE.into(),
        rules: &[CSS],
        leaves: &["declaration", "selectors"],
        ..PLAIN
    },
    Language {
        name: "json",
        extensions: &["json", "jsonc", "webmanifest"],
        file_names: &[".babelrc", ".eslintrc", ".prettierrc", "composer.lock", "Pipfile.lock"],
        grammar: || tree_sitter_json::LANGUAGE.into(),
        rules: &[&[with("pair", Scope::Level(2), read::data_key)]],
        levels_max: 2,
        bytes_max: DATA_BYTES_MAX,
        piece_bytes_max: usize::MAX,
        ..PLAIN
    },
    Language {
        name: "yaml",
        extensions: &["yaml", "yml"],
        file_names: &[".clang-format", ".clang-tidy"],
        grammar: || tree_sitter_yaml::LANGUAGE.into(),
        rules: &[&[with("block_mapping_pair", Scope::Level(4), read::data_key)]],
        levels_max: 4,
        bytes_max: DATA_BYTES_MAX,
        piece_bytes_max: usize::MAX,
        // The scanner saves its state in 1,024 bytes, four for each level, and aborts beyond.
        indents_max: 200,
        ..PLAIN
    },
    Language {
        name: "toml",
        extensions: &["toml"],
        file_names: &["Cargo.lock", "poetry.lock", "uv.lock", "Pipfile"],
        grammar: || tree_sitter_toml_ng::LANGUAGE.into(),
        rules: &[&[
            with("pair", Scope::Level(1), read::toml_key),
            with("table", Scope::Level(1), read::toml_key),
            with("table_array_element", Scope::Level(1), read::toml_key),
        ]],
        // Comments in a table may belong to the next one.
        levels_max: 2,
        bytes_max: DATA_BYTES_MAX,
        piece_bytes_max: usize::MAX,
        ..PLAIN
    },
];

/// What JavaScript and TypeScript share.
const SCRIPT: Language = Language {
    wrappers: &[
        "export_statement",
        "ambient_declaration",
        "lexical_declaration",
        "variable_declaration",
        "expression_statement",
    ],
    attributes: &["decorator"],
    locals: &[
        "arrow_function",
        "function_expression",
        "generator_function",
        "class_static_block",
        "if_statement",
        "for_statement",
        "for_in_statement",
        "while_statement",
        "try_statement",
        "switch_statement",
    ],
    leaves: &["decorator", "string", "import_statement"],
    ..PLAIN
};

const RUST: &[Rule] = &[
    named("function_item", "function"),
    named("function_signature_item", "function"),
    named("struct_item", "struct"),
    named("enum_item", "enum"),
    named("union_item", "union"),
    named("trait_item", "trait"),
    named("mod_item", "module"),
    named("const_item", "const"),
    named("static_item", "static"),
    named("type_item", "type"),
    named("associated_type", "type"),
    with("macro_definition", Scope::Any, read::rust_macro),
    with("impl_item", Scope::Any, read::rust_impl),
];

const PYTHON: &[Rule] = &[
    named("function_definition", "function"),
    named("class_definition", "class"),
    // module, statement, assignment
    with("assignment", Scope::Level(2), read::python_assignment),
    with("type_alias_statement", Scope::Outer, read::python_type),
];

const JAVASCRIPT: &[Rule] = &[
    named("function_declaration", "function"),
    named("generator_function_declaration", "function"),
    named("class_declaration", "class"),
    named("method_definition", "method"),
    with("field_definition", Scope::Any, script::field),
    with("variable_declarator", Scope::Any, script::declarator),
    with("assignment_expression", Scope::Any, script::assignment),
    with("pair", Scope::Any, script::pair),
    with("function_expression", Scope::Any, script::expression),
    with("generator_function", Scope::Any, script::expression),
    with("arrow_function", Scope::Any, script::expression),
    with("class", Scope::Any, script::expression),
    with("call_expression", Scope::Any, script::test_call),
];

const TYPESCRIPT: &[Rule] = &[
    named("function_signature", "function"),
    named("abstract_class_declaration", "class"),
    named("abstract_method_signature", "method"),
    named("method_signature", "method"),
    named("interface_declaration", "interface"),
    named("type_alias_declaration", "type"),
    named("enum_declaration", "enum"),
    named("module", "module"),
    named("internal_module", "module"),
    with("public_field_definition", Scope::Any, script::field),
];

const GO: &[Rule] = &[
    named("function_declaration", "function"),
    named("method_declaration", "method"),
    named("method_elem", "method"),
    named("type_alias", "type"),
    with("type_spec", Scope::Any, read::go_type),
    with("const_spec", Scope::Outer, read::go_const),
    with("var_spec", Scope::Outer, read::go_var),
];

const JAVA: &[Rule] = &[
    named("class_declaration", "class"),
    named("record_declaration", "class"),
    named("interface_declaration", "interface"),
    named("annotation_type_declaration", "interface"),
    named("enum_declaration", "enum"),
    named("module_declaration", "module"),
    named("method_declaration", "method"),
    named("annotation_type_element_declaration", "method"),
    named("constructor_declaration", "constructor"),
    named("compact_constructor_declaration", "constructor"),
    with("variable_declarator", Scope::Member, read::java_field),
];

const C: &[Rule] = &[
    with("function_definition", Scope::Any, native::function),
    with("declaration", Scope::Outer, native::declaration),
    with("struct_specifier", Scope::Any, native::specifier),
    with("union_specifier", Scope::Any, native::specifier),
    with("enum_specifier", Scope::Any, native::specifier),
    with("type_definition", Scope::Any, native::typedef),
    with("preproc_def", Scope::Any, native::define),
    with("preproc_function_def", Scope::Any, native::define),
];

const CPP: &[Rule] = &[
    with("class_specifier", Scope::Any, native::specifier),
    with("field_declaration", Scope::Member, native::declaration),
    named("alias_declaration", "type"),
    named("concept_definition", "type"),
    named("namespace_definition", "module"),
    named("namespace_alias_definition", "module"),
];

const CSHARP: &[Rule] = &[
    named("class_declaration", "class"),
    named("record_declaration", "class"),
    named("struct_declaration", "struct"),
    named("interface_declaration", "interface"),
    named("enum_declaration", "enum"),
    named("namespace_declaration", "module"),
    named("file_scoped_namespace_declaration", "module"),
    named("delegate_declaration", "type"),
    named("method_declaration", "method"),
    named("local_function_statement", "function"),
    named("constructor_declaration", "constructor"),
    with("property_declaration", Scope::Any, read::csharp_property),
    with("event_declaration", Scope::Any, read::csharp_property),
    with("variable_declarator", Scope::Member, read::csharp_field),
    with("operator_declaration", Scope::Any, read::csharp_symbol),
    with("conversion_operator_declaration", Scope::Any, read::csharp_symbol),
    with("indexer_declaration", Scope::Any, read::csharp_symbol),
    with("destructor_declaration", Scope::Any, read::csharp_symbol),
];

const RUBY: &[Rule] = &[
    with("class", Scope::Any, read::ruby_class),
    with("module", Scope::Any, read::ruby_class),
    with("method", Scope::Any, read::ruby_method),
    with("singleton_method", Scope::Any, read::ruby_method),
    with("assignment", Scope::Outer, read::ruby_constant),
    with("call", Scope::Any, read::ruby_call),
];

const PHP: &[Rule] = &[
    named("class_declaration", "class"),
    named("interface_declaration", "interface"),
    named("trait_declaration", "trait"),
    named("enum_declaration", "enum"),
    named("namespace_definition", "module"),
    named("function_definition", "function"),
    named("method_declaration", "method"),
    with("const_element", Scope::Outer, read::php_element),
    with("property_element", Scope::Member, read::php_element),
];

const SWIFT: &[Rule] = &[
    with("class_declaration", Scope::Any, read::swift_type),
    named("protocol_declaration", "interface"),
    named("function_declaration", "function"),
    named("protocol_function_declaration", "method"),
    named("typealias_declaration", "type"),
    named("associatedtype_declaration", "type"),
    with("property_declaration", Scope::Outer, read::swift_property),
    with("protocol_property_declaration", Scope::Outer, read::swift_property),
    with("init_declaration", Scope::Any, read::keyword_member),
    with("deinit_declaration", Scope::Any, read::keyword_member),
    with("subscript_declaration", Scope::Any, read::keyword_member),
    with("macro_declaration", Scope::Any, read::swift_macro),
];

const KOTLIN: &[Rule] = &[
    with("class_declaration", Scope::Any, read::kotlin_type),
    with("object_declaration", Scope::Any, read::kotlin_type),
    with("companion_object", Scope::Any, read::kotlin_type),
    with("function_declaration", Scope::Any, read::kotlin_function),
    with("property_declaration", Scope::Outer, read::kotlin_property),
    with("secondary_constructor", Scope::Any, read::keyword_member),
    with("type_alias", Scope::Any, read::kotlin_alias),
];

const SQL: &[Rule] = &[
    with("create_table", Scope::Any, read::sql_create),
    with("create_view", Scope::Any, read::sql_create),
    with("create_materialized_view", Scope::Any, read::sql_create),
    with("create_function", Scope::Any, read::sql_create),
    with("create_index", Scope::Any, read::sql_create),
    with("create_trigger", Scope::Any, read::sql_create),
    with("create_type", Scope::Any, read::sql_create),
    with("create_sequence", Scope::Any, read::sql_create),
    with("create_schema", Scope::Any, read::sql_create),
];

const CSS: &[Rule] = &[
    with("rule_set", Scope::Any, read::css_rule),
    with("keyframes_statement", Scope::Any, read::css_rule),
    with("media_statement", Scope::Any, read::css_rule),
    with("supports_statement", Scope::Any, read::css_rule),
    with("at_rule", Scope::Any, read::css_rule),
];
