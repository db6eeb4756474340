<%@ include file="head.jspf" %>
<%@ include file="menu.jspf" %>
<h1>工单 Work orders</h1>
<% String q = (String) request.getAttribute("q"); int number = (Integer) request.getAttribute("page"); %>
<form method="get" action="<%= root %>/orders"><input name="q" value="<%= Html.text(q) %>"><button>查询 Search</button>
<button name="export" value="1">导出 Export</button></form>
<table><tr><th>编号 Code</th><th>标题 Title</th><th>内容 Detail</th><th>状态 State</th><th></th></tr>
<% for (Object item : (List<?>) request.getAttribute("orders")) { Orders.Order order = (Orders.Order) item; %>
<tr><td><%= Html.text(order.code()) %></td><td><%= Html.text(order.title()) %></td>
<td><%= Html.text(order.detail()) %></td><td><%= Html.text(order.state()) %></td>
<td><form method="post" action="<%= root %>/orders"><%= csrf %><input type="hidden" name="code" value="<%= Html.text(order.code()) %>">
<button name="remove" value="1">删除 Remove</button></form></td></tr>
<% } %></table>
<p><% if (number > 0) { %><a href="<%= root %>/orders?page=<%= number - 1 %>&amp;q=<%= Html.query(q) %>">上一页 Previous</a><% } %>
<% if ((Boolean) request.getAttribute("more")) { %><a href="<%= root %>/orders?page=<%= number + 1 %>&amp;q=<%= Html.query(q) %>">下一页 Next</a><% } %></p>
<h2>新建或修改 Create or change</h2>
<form method="post" action="<%= root %>/orders"><%= csrf %>
<label>编号 Code <input name="code" required maxlength="64"></label>
<label>标题 Title <input name="title" required maxlength="200"></label>
<label>内容 Detail <textarea name="detail" maxlength="4000"></textarea></label>
<label>状态 State <select name="state"><option>open</option><option>running</option><option>closed</option></select></label>
<button>保存 Save</button></form>
</body></html>
